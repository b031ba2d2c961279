"""The page as a C array, with the policy that lets its own script and style run and nothing else:
embed_page.py OUTPUT INDEX STYLES... SCRIPTS...

The modules are joined in the order in which they are named, and share one scope: the page is one document that asks
for nothing but data, so it works behind any proxy and its policy can name what runs by its hash."""
import base64
import hashlib
import sys


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def source(text):
    return "'sha256-%s'" % base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def put(page, tag, text):
    """The page with `text` inside its empty element `tag`, which it must have once."""
    empty = "<%s>\n</%s>" % (tag, tag)
    if page.count(empty) != 1 or "</" + tag in text:
        sys.exit("the page needs one empty <%s>, and no module may end it" % tag)
    return page.replace(empty, "<%s>%s</%s>" % (tag, text, tag))


output, index, *modules = sys.argv[1:]
style, script = ("\n" + "".join(read(m) for m in modules if m.endswith(end)) for end in (".css", ".js"))
page = put(put(read(index), "style", style), "script", script)
policy = ("default-src 'none'; script-src %s; style-src %s; img-src 'self' data:; connect-src 'self'; "
          "base-uri 'none'; form-action 'none'; frame-ancestors 'none'" % (source(script), source(style)))
data = page.encode()
rows = [",".join(str(b) for b in data[i:i + 24]) for i in range(0, len(data), 24)]
with open(output, "w", encoding="ascii") as f:
    f.write("/* The page, generated from its modules. */\n#include <stddef.h>\n\n"
            "extern const unsigned char api_page[];\nextern const size_t api_page_length;\n"
            "extern const char api_page_policy[], api_page_tag[];\n"
            "const unsigned char api_page[] = {\n" + ",\n".join(rows) + "};\n"
            "const size_t api_page_length = %d;\n"
            "const char api_page_policy[] = \"%s\";\n"
            "const char api_page_tag[] = \"%s\";\n" % (len(data), policy, hashlib.sha256(data).hexdigest()))
