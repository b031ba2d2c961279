"""A file as a C array: embed.py INPUT OUTPUT."""
import json
import sys

with open(sys.argv[1], encoding="utf-8") as f:
    data = (json.dumps(json.load(f), ensure_ascii=False, separators=(",", ":")) + "\n").encode()
rows = [",".join(str(b) for b in data[i:i + 24]) for i in range(0, len(data), 24)]
with open(sys.argv[2], "w", encoding="ascii") as f:
    f.write("/* The OpenAPI document, generated from openapi.json. */\n#include <stddef.h>\n\n"
            "extern const unsigned char api_openapi[];\nextern const size_t api_openapi_length;\n"
            "const unsigned char api_openapi[] = {\n" + ",\n".join(rows) + "};\n"
            f"const size_t api_openapi_length = {len(data)};\n")
