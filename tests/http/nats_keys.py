"""An operator of a NATS server, its account and users, as nsc makes them: keys (nkeys), claims signed with them (JWT), and a
user's file of credentials. The signatures are made by openssl."""

import base64
import binascii
import json
import os
import subprocess

KINDS = {"operator": 14 << 3, "account": 0, "user": 20 << 3}
SEED = 18 << 3
NO_LIMITS = {"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": True, "conn": -1, "leaf": -1,
             "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1}


def openssl(*args, data=b""):
    return subprocess.run(["openssl", *args], input=data, stdout=subprocess.PIPE, check=True).stdout


def spelled(prefix, raw):
    """A key as NATS writes it: base 32 of its kind, itself and a checksum."""
    data = prefix + raw
    return base64.b32encode(data + binascii.crc_hqx(data, 0).to_bytes(2, "little")).decode().rstrip("=")


def part(value):
    return base64.urlsafe_b64encode(value).rstrip(b"=")


class Key:
    def __init__(self, folder, kind):
        self.kind, self.path = kind, os.path.join(folder, f"{kind}-{len(os.listdir(folder))}.pem")
        openssl("genpkey", "-algorithm", "ed25519", "-out", self.path)
        raw, public = (openssl("pkey", "-in", self.path, *more, "-outform", "DER")[-32:] for more in ((), ("-pubout",)))
        prefix = KINDS[kind]
        self.public = spelled(bytes([prefix]), public)
        self.seed = spelled(bytes([SEED | prefix >> 5, (prefix & 31) << 3]), raw)

    def sign(self, data):
        path = self.path + ".data"
        with open(path, "wb") as f:
            f.write(data)
        return openssl("pkeyutl", "-sign", "-rawin", "-inkey", self.path, "-in", path)

    def claim(self, subject, **nats):
        """What this key says of the other one."""
        head = part(json.dumps({"typ": "JWT", "alg": "ed25519-nkey"}).encode())
        claims = {"jti": "T", "iat": 1700000000, "iss": self.public, "name": subject.kind, "sub": subject.public,
                  "nats": {**nats, "type": subject.kind, "version": 2}}
        text = head + b"." + part(json.dumps(claims).encode())
        return (text + b"." + part(self.sign(text))).decode()


class Operator:
    """`config` is for the server; `user` writes a file for pfgmd."""

    def __init__(self, folder):
        self.folder = folder
        operator, system, self.account = Key(folder, "operator"), Key(folder, "account"), Key(folder, "account")
        self.config = f"operator: {operator.claim(operator)}\nsystem_account: {system.public}\nresolver: MEMORY\nresolver_preload: {{\n"
        for account, limits in ((system, {**NO_LIMITS, "mem_storage": 0, "disk_storage": 0}), (self.account, NO_LIMITS)):
            self.config += f"  {account.public}: {operator.claim(account, limits=limits)}\n"
        self.config += "}\n"

    def user(self, name, account=None, **permissions):
        """The path of the credentials of a new user: of the account that the server knows, or of another one."""
        user = Key(self.folder, "user")
        claim = (account or self.account).claim(user, subs=-1, data=-1, payload=-1, **permissions)
        path = os.path.join(self.folder, name)
        with open(path, "w") as f:
            f.write(f"-----BEGIN NATS USER JWT-----\n{claim}\n------END NATS USER JWT------\n\n"
                    f"-----BEGIN USER NKEY SEED-----\n{user.seed}\n------END USER NKEY SEED------\n")
        return path
