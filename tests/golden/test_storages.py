"""PyTorch files whose storages are larger than the tensors that name them: honest slices convert to the same values,
and what is there to fill memory is refused before it does.

Environment as of test_convert.py. Standard library only."""

import os
import resource
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import test_convert
import torch_file


class Storages(test_convert.Case):
    def test_small_views_of_a_vast_storage(self):
        """152 views, each with its own elements far apart, into 64 MiB of zeros that are deflated to 64 KB."""
        made, vast = self.model(), torch_file.Storage("FloatStorage", bytes(64 << 20))
        for key, tensor in made["model"].items():
            stride = torch_file.contiguous(tensor.size)
            if key != "module.sigmas" and tensor.size:
                made["model"][key] = torch_file.Tensor(vast, 0, tensor.size, (stride[0] * 8,) + stride[1:])
        path = self.saved(made, deflate=True)
        self.assertLess(os.path.getsize(path), 2 << 20)
        self.reference()  # so much is needed for an honest file
        os.unlink(self.out)
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        self.refused(self.convert(path, "--weights", "raw"), 'storage "', "67108864 bytes, of which tensors name",
                     ".clone()")
        self.assertLess(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, before + (32 << 10))
        made = self.model()
        made["model"]["module.sigmas"] = torch_file.Tensor(vast, 0, (16 << 20,), (1,))
        self.refused(self.convert(self.saved(made, deflate=True)), '"sigmas"', "is unexpected")

    def test_slices_saved_without_a_copy(self):
        """Each tensor every second element of a storage of its own, and all in turn in two storages that they share."""
        def padded(tensor):
            raw = tensor.logical()
            return b"".join(raw[i:i + 4] + bytes(4) for i in range(0, len(raw), 4))

        made, shared, places = self.model(), [bytearray(), bytearray()], {}
        for i, (key, tensor) in enumerate(list(made["model"].items())):
            if key != "module.sigmas":
                places[key] = (i % 2, len(shared[i % 2]) // 4)
                shared[i % 2] += padded(tensor)
                made["model"][key] = torch_file.Tensor(
                    torch_file.Storage("FloatStorage", padded(tensor)), 0, tensor.size,
                    tuple(2 * s for s in torch_file.contiguous(tensor.size)))
        wanted = self.reference("--weights", "raw")
        self.assertEqual(self.converted(self.saved(made, deflate=True), "--weights", "raw"), wanted)
        both = [torch_file.Storage("FloatStorage", raw) for raw in shared]
        for key, (which, at) in places.items():
            tensor = made["model"][key]
            made["model"][key] = torch_file.Tensor(both[which], at, tensor.size, tensor.stride)
        self.assertEqual(self.converted(self.saved(made, deflate=True), "--weights", "raw"), wanted)


if __name__ == "__main__":
    unittest.main()
