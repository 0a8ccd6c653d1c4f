"""Reads the kubeconfigs that the lab writes (one cluster, one user, data embedded) without a YAML library."""
import base64
import re
import tempfile


def load(path):
    text = open(path).read()

    def data(field):
        f = tempfile.NamedTemporaryFile(suffix=".pem", delete=False)
        f.write(base64.b64decode(re.search(field + r":\s*\"?([A-Za-z0-9+/=]+)", text).group(1)))
        f.close()
        return f.name
    host, port = re.search(r"server:\s*\"?https://([^:\"]+):(\d+)", text).groups()
    return {"host": host, "port": int(port), "ca": data("certificate-authority-data"), "cert": data("client-certificate-data"),
            "key": data("client-key-data")}
