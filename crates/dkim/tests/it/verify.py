"""Verifies every DKIM signature of a message with dkimpy.

In: on standard input a line of JSON {"records": {name: value}, "message": base64}. Out: a line for each signature, from the
top: "pass" or "fail", with the reason; and a line for the ARC chain, if there is one. Never: the DNS.
"""
import base64
import json
import re
import sys

import dkim

told = json.load(sys.stdin)
records = {name + ".": value.encode() for name, value in told["records"].items()}
message = base64.b64decode(told["message"])


def dnsfunc(name, timeout=5):
    return records.get(name.decode() if isinstance(name, bytes) else name)


header = message.split(b"\r\n\r\n", 1)[0]
for index in range(len(re.findall(rb"(?mi)^dkim-signature[ \t]*:", header))):
    try:
        print("pass" if dkim.DKIM(message, minkey=1024).verify(idx=index, dnsfunc=dnsfunc) else "fail")
    except Exception as error:
        print("fail:", type(error).__name__, error)

if b"\r\narc-seal:" in b"\r\n" + message.lower():
    verdict, _, reason = dkim.arc_verify(message, dnsfunc=dnsfunc)
    print("arc", verdict.decode(), reason)
