"""How pfgmd shows a NATS server who it is: a file of credentials, a name and password, a token. Whatever the server refuses,
images are served and the reason is said in one line without secrets."""

import os
import shutil
import tempfile
import unittest

from fleet import NATS, Nats, file_job, replica, wait_state, wait_trouble
from nats_keys import Key, Operator

QUICK = {"method": "euler", "steps": 3}
HAVE_NATS = os.environ.get("HAVE_NATS") == "1"


@unittest.skipUnless(HAVE_NATS, "this build is without NATS (libnats-dev)")
@unittest.skipUnless(NATS, "there is no nats-server (conf/deps.sh test installs it)")
class Credentials(unittest.TestCase):
    def assert_refused(self, daemon, words, *secrets):
        wait_trouble(daemon, words)
        self.assertEqual(daemon.get("/v1/jobs").status, 503)
        self.assertEqual(daemon.images({"solver": QUICK}).status, 200)
        for secret in secrets:
            self.assertNotIn(secret, "\n".join(daemon.lines))

    def assert_works(self, daemon, *secrets):
        name = file_job(daemon, {"n": 2, "solver": QUICK}).json()["id"]
        wait_state(daemon, name, "succeeded")
        for secret in secrets:
            self.assertNotIn(secret, "\n".join(daemon.lines))

    @unittest.skipUnless(shutil.which("openssl"), "openssl makes the keys")
    def test_a_file_of_credentials(self):
        with tempfile.TemporaryDirectory() as folder:
            operator = Operator(folder)
            good, stranger = operator.user("good.creds"), operator.user("stranger.creds", Key(folder, "account"))
            narrow = operator.user("narrow.creds", pub={"allow": ["pfgm.>"]})
            broken = os.path.join(folder, "broken.creds")
            with open(broken, "w") as f:
                f.write("no credentials\n")
            with Nats(config=operator.config) as nats:
                with replica(nats, "--nats-credentials", good) as daemon:
                    with open(good) as f:
                        jwt, seed = (line for line in f.read().splitlines() if line and "-" * 5 not in line)
                    self.assert_works(daemon, jwt, seed)
                for path, words in ((stranger, "refuses the credentials"), (narrow, "ermissions"),
                                    (broken, "cannot connect to NATS")):
                    with self.subTest(path=os.path.basename(path)), replica(nats, "--nats-credentials", path) as daemon:
                        self.assert_refused(daemon, words)
                with replica(nats) as daemon:
                    self.assert_refused(daemon, "refuses the credentials")

    def test_a_token(self):
        with Nats("--auth", "t0ken-of-the-fleet") as nats:
            with replica(nats.url("another-t0ken@")) as daemon:
                self.assert_refused(daemon, "refuses the credentials", "another-t0ken")
            with replica(nats.url("t0ken-of-the-fleet@")) as daemon:
                self.assert_works(daemon, "t0ken-of-the-fleet")


if __name__ == "__main__":
    unittest.main()
