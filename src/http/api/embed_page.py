"""The page as a C array, with the policy that lets its own script and style run and nothing else:
embed_page.py INPUT OUTPUT."""
import base64
import hashlib
import re
import sys


def source(text, tag):
    body = re.search(r"<%s>(.*?)</%s>" % (tag, tag), text, re.S).group(1)
    return "'sha256-%s'" % base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()


with open(sys.argv[1], encoding="utf-8") as f:
    page = f.read()
policy = ("default-src 'none'; script-src %s; style-src %s; img-src data:; connect-src 'self'; "
          "base-uri 'none'; form-action 'none'; frame-ancestors 'none'" % (source(page, "script"), source(page, "style")))
data = page.encode()
rows = [",".join(str(b) for b in data[i:i + 24]) for i in range(0, len(data), 24)]
with open(sys.argv[2], "w", encoding="ascii") as f:
    f.write("/* The page, generated from page.html. */\n#include <stddef.h>\n\n"
            "extern const unsigned char api_page[];\nextern const size_t api_page_length;\n"
            "extern const char api_page_policy[], api_page_tag[];\n"
            "const unsigned char api_page[] = {\n" + ",\n".join(rows) + "};\n"
            "const size_t api_page_length = %d;\n"
            "const char api_page_policy[] = \"%s\";\n"
            "const char api_page_tag[] = \"%s\";\n" % (len(data), policy, hashlib.sha256(data).hexdigest()))
