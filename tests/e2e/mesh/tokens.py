"""Keys and tokens (RFC 7515, RFC 7517), made by openssl's commands."""
import base64
import json
import subprocess
import tempfile
from pathlib import Path

KEYS = {"RS": ("RSA", "rsa_keygen_bits:2048"), "PS": ("RSA", "rsa_keygen_bits:2048"), "ES256": ("EC", "ec_paramgen_curve:P-256"), "ES384": ("EC", "ec_paramgen_curve:P-384"),
        "ES512": ("EC", "ec_paramgen_curve:P-521"), "EdDSA": ("ED25519", None)}
CURVES = {"ES256": ("P-256", 32), "ES384": ("P-384", 48), "ES512": ("P-521", 66)}


def b64(data):
    return base64.urlsafe_b64encode(data if isinstance(data, bytes) else json.dumps(data).encode()).rstrip(b"=").decode()


def der_numbers(der):
    """The two numbers of an ECDSA signature."""
    at, numbers = (3 if der[1] & 0x80 else 2), []
    for _ in range(2):
        n = der[at + 1]
        numbers.append(int.from_bytes(der[at + 2:at + 2 + n], "big"))
        at += 2 + n
    return numbers


class Signer:
    def __init__(self, alg, kid):
        self.alg, self.kid, self.made = alg, kid, tempfile.TemporaryDirectory(prefix="tokens-")
        self.path = Path(self.made.name)
        kind, option = KEYS.get(alg) or KEYS[alg[:2]]
        self.key = self.path / "key.pem"
        self.openssl("genpkey", "-algorithm", kind, *(("-pkeyopt", option) if option else ()), "-out", self.key)

    def openssl(self, *args, data=None):
        return subprocess.run(["openssl", *map(str, args)], input=data, check=True, capture_output=True).stdout

    def jwk(self):
        der = self.openssl("pkey", "-in", self.key, "-pubout", "-outform", "DER")
        own = {"kid": self.kid, "use": "sig"}
        if self.alg in CURVES:
            curve, n = CURVES[self.alg]
            return {**own, "kty": "EC", "crv": curve, "x": b64(der[-2 * n:-n]), "y": b64(der[-n:])}
        if self.alg == "EdDSA":
            return {**own, "kty": "OKP", "crv": "Ed25519", "x": b64(der[-32:])}
        modulus = bytes.fromhex(self.openssl("rsa", "-in", self.key, "-noout", "-modulus").decode().split("=")[1].strip())
        return {**own, "kty": "RSA", "n": b64(modulus), "e": "AQAB"}

    def sign(self, text):
        if self.alg == "EdDSA":
            (self.path / "text").write_bytes(text)
            return self.openssl("pkeyutl", "-sign", "-rawin", "-inkey", self.key, "-in", self.path / "text")
        pss = ("-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest") if self.alg.startswith("PS") else ()
        signature = self.openssl("dgst", f"-sha{self.alg[2:]}", "-sign", self.key, *pss, data=text)
        if self.alg in CURVES:
            n = CURVES[self.alg][1]
            return b"".join(number.to_bytes(n, "big") for number in der_numbers(signature))
        return signature

    def token(self, payload, **header):
        text = f"{b64({'alg': self.alg, 'kid': self.kid, **header})}.{b64(payload)}"
        return f"{text}.{b64(self.sign(text.encode()))}"


def key_set(*signers):
    return json.dumps({"keys": [s.jwk() for s in signers]})
