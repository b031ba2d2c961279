"""`pfgm convert` without --preset and --config: the shapes of the tensors say what the network is, options the rest.

PFGM is the binary, GOLDEN the folder of the reference's checkpoints. Standard library only."""

import json
import unittest

from test_convert import Case, golden

MODELS = "pfgm_digits8", "pfgm_fashion28", "pfgm_ddpmpp_rgb16", "pfgm_ncsnpp_rgb16"
# Settings of the reference's configuration that leave no trace in a shape.
SETTINGS = {"image_size": "--image-size", "fir": "--fir", "gamma": "--gamma", "sigma": "--sigma", "tau": "--tau",
            "M": "--M", "z_max": "--z-max", "z_min": "--z-min", "upper_norm": "--upper-norm", "z_exp": "--z-exp"}


class Shapes(Case):
    def settings(self, model, leave_out=()):
        with open(self.path(model + ".json"), encoding="utf-8") as f:
            config = json.load(f)
        return [word for key, option in SETTINGS.items() if key not in leave_out
                for word in (option, json.dumps(config[key]))]

    def test_shapes_and_settings_are_the_configuration(self):
        for model in MODELS:
            with self.subTest(model):
                source = golden(model + ".pth")
                self.converted(source, model=model)
                with open(self.out, "rb") as f:
                    configured = f.read()
                for leave_out in [()] + [("fir",)] * (model == "pfgm_ncsnpp_rgb16"):
                    run = self.run_pfgm("convert", source, "-o", self.out, *self.settings(model, leave_out))
                    self.assertEqual((run.returncode, run.stderr), (0, ""))
                    with open(self.out, "rb") as f:
                        self.assertEqual(f.read(), configured)

    def test_what_is_missing_is_asked_for_by_name(self):
        source = golden("pfgm_ddpmpp_rgb16.pth")
        self.refused(self.run_pfgm("convert", source, "-o", self.out), "nf 16, 3 levels, 2 blocks per level",
                     "give " + ", ".join(SETTINGS.values()) + " (", "--preset", "--config")
        run = self.run_pfgm("convert", source, "-o", self.out, *self.settings("pfgm_ddpmpp_rgb16", ("tau", "fir")))
        self.refused(run, "give --fir, --tau (")

    def test_settings_that_cannot_be_are_refused(self):
        source = golden("pfgm_ddpmpp_rgb16.pth")
        given = self.settings("pfgm_ddpmpp_rgb16")
        for more, words in ((("--image-size", "18"), "--image-size: 18 cannot be halved 2 times"),
                            (("--fir", "maybe"), "--fir: is true or false"),
                            (("--gamma", "nan"), "--gamma"), (("--M", "-1"), "--M"),
                            (("--z-max", "0.0001"), "z_max")):
            self.refused(self.run_pfgm("convert", source, "-o", self.out, *given, *more), words)
        for more in (("--config", self.path("pfgm_ddpmpp_rgb16.json")), ("--preset", "cifar10-ddpmpp")):
            run = self.run_pfgm("convert", source, "-o", self.out, *given, *more)
            self.assertEqual(run.returncode, 2)
            self.assertIn("--preset and --config say all settings", run.stderr)

    def test_tensors_of_no_network_are_refused(self):
        for name in "all_modules.3.Dense_0.bias", "all_modules.6.NIN_2.W", "all_modules.2.weight":
            model = self.model()
            del model["model"]["module." + name]
            run = self.run_pfgm("convert", self.saved(model), "-o", self.out, *self.settings("pfgm_digits8"))
            self.refused(run, "made.pth: its tensors are those of no network")

    def test_a_file_that_describes_itself_takes_no_settings(self):
        source = golden("pfgmpp_ncsnpp_rgb16_d128.pkl")
        self.refused(self.run_pfgm("convert", source, "-o", self.out, "--gamma", "5"), "says itself")
        self.assertEqual(self.run_pfgm("convert", source, "-o", self.out).returncode, 0)


if __name__ == "__main__":
    unittest.main()
