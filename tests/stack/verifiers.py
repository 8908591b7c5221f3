"""Others who verify our DKIM signatures: python3-dkim and OpenDKIM."""
import re
import subprocess
import tempfile

import dkim


def signatures(message):
    """(algorithm, selector) of each DKIM-Signature, from the top."""
    head = message.split(b"\r\n\r\n")[0].replace(b"\r\n ", b" ")
    return [(re.search(r"a=([\w-]+);", line).group(1),
             re.search(r"s=([\w-]+);", line).group(1))
            for line in head.decode("utf-8", "replace").split("\r\n")
            if line.startswith("DKIM-Signature:")]


def by_python(message, records):
    """A verdict for each signature; records: name -> text of the TXT record"""
    def record(name, timeout=5):
        return records.get(name.decode().rstrip("."), "").encode() or None
    verifier = dkim.DKIM(message)
    verdicts = []
    for i in range(len(signatures(message))):
        try:
            verdicts.append(verifier.verify(idx=i, dnsfunc=record))
        except dkim.DKIMException:
            verdicts.append(False)
    return verdicts


def by_opendkim(message, records):
    """The algorithms that OpenDKIM passes."""
    with tempfile.TemporaryDirectory() as folder:
        with open(folder + "/records", "w") as f:
            for name, text in records.items():
                f.write("%s %s\n" % (name, text))
        with open(folder + "/conf", "w") as f:
            # tests may be ahead of its clock
            f.write("Mode v\nClockDrift 100000000\n"
                    "TestDNSData file:%s/records\n" % folder)
        with open(folder + "/message", "wb") as f:
            f.write(message)
        said = subprocess.run(
            ["/usr/sbin/opendkim", "-x", folder + "/conf", "-vv", "-t",
             folder + "/message"], text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT).stdout
    print(said)  # shown where a test fails
    return sorted(re.findall(r"dkim=pass[^;]*header\.a=([\w-]+)", said))


def records_of(reply):
    """TXT records of a GET /domains/<domain>, by name."""
    return {r["name"]: r["value"] for r in reply["sending_dns_records"]
            if r["record_type"] == "TXT" and "_domainkey" in r["name"]}
