"""The PFGM++ reference's network as a list of tensors, by its constructor's rule, which is written
down here a second time: an opinion of its own on the names that the program under test expects."""


def shapes(a):
    """Names and shapes of the reference's network from its constructor's arguments."""
    width, emb, out = a["model_channels"], 4 * a["model_channels"], {}
    length, kernel = width * a["channel_mult_noise"], len(a["resample_filter"])

    def layer(name, *shape, bias=True):
        out["model." + name + ".weight"] = list(shape)
        if bias:
            out["model." + name + ".bias"] = [shape[0]]

    def buffer(name):
        out["model." + name + ".resample_filter"] = [1, 1, kernel, kernel]

    def block(name, before, after, resampled=False, attention=False):
        layer(name + ".norm0", before)
        layer(name + ".conv0", after, before, 3, 3)
        layer(name + ".affine", after, emb)
        layer(name + ".norm1", after)
        layer(name + ".conv1", after, after, 3, 3)
        if resampled or before != after:
            layer(name + ".skip", after, before, 1, 1)
        if resampled:
            buffer(name + ".conv0")
            buffer(name + ".skip")
        if attention:
            layer(name + ".norm2", after)
            layer(name + ".qkv", 3 * after, after, 1, 1)
            layer(name + ".proj", after, after, 1, 1)
        return after

    if a["embedding_type"] == "fourier":
        out["model.map_noise.freqs"] = [length // 2]
    if a["label_dim"]:
        layer("map_label", length, a["label_dim"])
    if a["augment_dim"]:
        layer("map_augment", length, a["augment_dim"], bias=False)
    layer("map_layer0", emb, length)
    layer("map_layer1", emb, emb)
    sides = [a["img_resolution"] >> i for i in range(len(a["channel_mult"]))]
    now, aux, skips = width, 3, [width]
    for side, mult in zip(sides, a["channel_mult"]):
        place = "enc.%dx%d_" % (side, side)
        if side == sides[0]:
            layer(place + "conv", width, 3, 3, 3)
        else:
            skips.append(block(place + "down", now, now, True))
            if a["encoder_type"] == "residual":
                layer(place + "aux_residual", now, aux, 3, 3)
                buffer(place + "aux_residual")
                aux = now
        for i in range(a["num_blocks"]):
            now = block(place + "block%d" % i, now, width * mult,
                        attention=side in a["attn_resolutions"])
            skips.append(now)
    for side, mult in reversed(list(zip(sides, a["channel_mult"]))):
        place = "dec.%dx%d_" % (side, side)
        if side == sides[-1]:
            block(place + "in0", now, now, attention=True)
            block(place + "in1", now, now)
        else:
            block(place + "up", now, now, True)
        for i in range(a["num_blocks"] + 1):
            now = block(place + "block%d" % i, now + skips.pop(), width * mult,
                        attention=i == a["num_blocks"] and side in a["attn_resolutions"])
    layer("dec.%dx%d_aux_norm" % (sides[0], sides[0]), now)
    layer("dec.%dx%d_aux_conv" % (sides[0], sides[0]), 3, now, 3, 3)
    return out
