"""Certificates for one test: an authority of its own and what it issues, made with openssl(1)."""

import os
import subprocess

CONFIG = """\
[ca]
default_ca = ours
[ours]
database = {directory}/index.txt
new_certs_dir = {directory}
certificate = {directory}/ca.pem
private_key = {directory}/ca.key
default_md = sha256
default_days = 2
rand_serial = yes
unique_subject = no
policy = any_name
copy_extensions = copy
[any_name]
commonName = supplied
"""

EXPIRED = ("-startdate", "20200101000000Z", "-enddate", "20200201000000Z")


def _openssl(*arguments):
    result = subprocess.run(["openssl", *arguments], stdin=subprocess.DEVNULL, capture_output=True,
                            text=True, timeout=60)
    assert result.returncode == 0, f"openssl {' '.join(arguments)}: {result.stderr}"


class Authority:
    """`issue` gives pairs of paths: a certificate and its key."""

    def __init__(self, directory, name):
        self.directory = os.path.join(directory, name)
        os.makedirs(self.directory)
        self.ca_file = os.path.join(self.directory, "ca.pem")
        self.config = os.path.join(self.directory, "ca.conf")
        open(os.path.join(self.directory, "index.txt"), "w", encoding="ascii").close()
        with open(self.config, "w", encoding="ascii") as stream:
            stream.write(CONFIG.format(directory=self.directory))
        _openssl("req", "-x509", *self._new_key("ca"), "-out", self.ca_file, "-days", "2",
                 "-subj", f"/CN={name}")

    def _new_key(self, name):
        return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-keyout", os.path.join(self.directory, f"{name}.key"))

    def issue(self, name, alt_names=None, dates=()):
        request, cert, key = (os.path.join(self.directory, f"{name}.{end}")
                              for end in ("csr", "pem", "key"))
        names = ("-addext", f"subjectAltName={alt_names}") if alt_names else ()
        _openssl("req", *self._new_key(name), "-out", request, "-subj", f"/CN={name}", *names)
        _openssl("ca", "-batch", "-notext", "-config", self.config, "-in", request, "-out", cert,
                 *dates)
        return cert, key
