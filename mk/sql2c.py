"""Turn schema_NNNN.sql files into one C table for mg_migrate.c."""
import re
import sys

print("/* made by mk/sql2c.py; do not edit */")
print("static const mg_migration_t migrations[] = {")
for path in sys.argv[1:]:
    number = int(re.search(r"schema_(\d+)\.sql$", path).group(1))
    print("    { %d," % number)
    for line in open(path, encoding="utf-8"):
        text = line.rstrip("\n").replace("\\", "\\\\").replace('"', '\\"')
        print('      "%s\\n"' % text)
    print("    },")
print("};")
