"""Certificates for the tests, made by the openssl command: an authority and what it signs. EC keys, good for a day."""
import subprocess


def run(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


class Authority:
    def __init__(self, directory, name="ca"):
        self.directory, self.name = directory, name
        self.cert, self.key = directory / f"{name}.pem", directory / f"{name}.key"
        run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 1, "-subj", f"/CN={name}", "-keyout", self.key,
            "-out", self.cert)

    def issue(self, name, *alternatives, subject=None):
        """(certificate, key) of e.g. issue("site", "DNS:site.example")."""
        cert, key, request, extensions = (self.directory / f"{name}.{end}" for end in ("pem", "key", "csr", "ext"))
        run("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", subject or f"/CN={name}", "-keyout", key, "-out", request)
        extensions.write_text(f"subjectAltName={','.join(alternatives)}\n" if alternatives else "")
        run("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self.key, "-CAcreateserial", "-days", 1, "-out", cert, "-extfile", extensions)
        return cert, key
