"""A small MaxMind database (format 2.0), written from a dict.

    write("geo.mmdb", {"192.0.2.0/24": ("US", "CA", "San Francisco")})

As a program it writes tests/data/geo.mmdb, which the unit tests read.
"""
import ipaddress
import os
import struct
import sys

MARK = b"\xab\xcd\xefMaxMind.com"
TYPES = {"map": 7, "string": 2, "uint16": 5, "uint32": 6, "uint64": 9,
         "array": 11}


def control(kind, size):
    number = TYPES[kind]
    if size < 29:
        length, more = size, b""
    elif size < 29 + 256:
        length, more = 29, bytes([size - 29])
    else:
        length, more = 30, struct.pack(">H", size - 285)
    if number < 8:
        return bytes([number << 5 | length]) + more
    return bytes([length, number - 7]) + more


def encode(value):
    if isinstance(value, dict):
        return control("map", len(value)) + b"".join(
            encode(k) + encode(v) for k, v in value.items())
    if isinstance(value, list):
        return control("array", len(value)) + b"".join(map(encode, value))
    if isinstance(value, str):
        raw = value.encode()
        return control("string", len(raw)) + raw
    kind, number = value
    raw = number.to_bytes(8, "big").lstrip(b"\0")
    return control(kind, len(raw)) + raw


def record(place):
    country, region, city = place
    out = {}
    if city:
        out["city"] = {"names": {"de": "nicht " + city, "en": city}}
    if country:
        out["country"] = {"iso_code": country, "names": {"en": country}}
    if region:
        out["subdivisions"] = [{"iso_code": region}]
    return out


def write(path, places):
    """places: network -> (country, region, city), each may be None."""
    nodes, data, at = [[None, None]], b"", {}
    for network, place in places.items():
        net = ipaddress.ip_network(network)
        if place not in at:
            at[place] = len(data)
            data += encode(record(place))
        bits = int(net.network_address)
        width, length = net.max_prefixlen, net.prefixlen
        if width == 32:  # ::/96 of the tree
            width, length = 128, length + 96
        node = 0
        for i in range(length):
            bit = bits >> (width - 1 - i) & 1
            if i == length - 1:
                nodes[node][bit] = ("data", at[place])
                break
            if nodes[node][bit] is None:
                nodes.append([None, None])
                nodes[node][bit] = len(nodes) - 1
            node = nodes[node][bit]
    count = len(nodes)

    def pointer(one):
        if one is None:
            return count
        return one if isinstance(one, int) else count + 16 + one[1]

    tree = b"".join(struct.pack(">II", pointer(a), pointer(b))
                    for a, b in nodes)
    about = {"binary_format_major_version": ("uint16", 2),
             "binary_format_minor_version": ("uint16", 0),
             "build_epoch": ("uint64", 1318528920),
             "database_type": "Mailgun-Test-City",
             "description": {"en": "a test"}, "ip_version": ("uint16", 6),
             "languages": ["en"], "node_count": ("uint32", count),
             "record_size": ("uint16", 32)}
    with open(path, "wb") as f:
        f.write(tree + b"\0" * 16 + data + MARK + encode(about))


SAMPLE = {"192.0.2.0/24": ("US", "CA", "San Francisco"),
          "198.51.100.0/25": ("DE", None, None),
          "203.0.113.7/32": ("FR", "IDF", "\u00cele-de-Paris"),
          "2001:db8::/32": ("JP", "13", "Tokyo")}

if __name__ == "__main__":
    root = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
    write(sys.argv[1] if len(sys.argv) > 1 else root + "/tests/data/geo.mmdb",
          SAMPLE)
