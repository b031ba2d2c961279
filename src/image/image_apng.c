/* Each frame is encoded as a PNG of its own by image_png_encode, and its image data are put under
 * the animation's chunks: the bytes that come back from ourselves are walked, no others. Pure
 * function, any thread. */
#include "image_apng.h"

#include <string.h>
#include <zlib.h>

#define FRAMES_MAX 10000
#define FRAME_BYTES_MAX ((size_t)256 << 20)
#define SIGNATURE 8
#define CHUNK_HEAD 8 /* length and type; behind the data another 4 bytes */

static void put_u32(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 24);
    at[1] = (uint8_t)(value >> 16);
    at[2] = (uint8_t)(value >> 8);
    at[3] = (uint8_t)value;
}

static void put_u16(uint8_t *at, int value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static uint32_t get_u32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* A chunk whose data are `head` (may be empty) and then `data`. */
static int put_chunk(struct buf *out, const char *type, const uint8_t *head, size_t head_length,
                     const uint8_t *data, size_t length, struct err *e)
{
    uint8_t start[CHUNK_HEAD], end[4];
    uLong crc = crc32(0, (const Bytef *)type, 4);
    put_u32(start, (uint32_t)(head_length + length));
    memcpy(start + 4, type, 4);
    crc = crc32(crc, head, (uInt)head_length);
    crc = crc32(crc, data, (uInt)length);
    put_u32(end, (uint32_t)crc);
    return buf_append(out, start, sizeof start, e) != 0 ||
                   buf_append(out, head, head_length, e) != 0 ||
                   buf_append(out, data, length, e) != 0 || buf_append(out, end, sizeof end, e) != 0
               ? -1
               : 0;
}

static int put_control(struct buf *out, uint32_t *sequence, struct image_shape shape, int delay_ms,
                       struct err *e)
{
    uint8_t control[26] = {0}; /* no offset, the frame replaces the one before */
    put_u32(control, (*sequence)++);
    put_u32(control + 4, (uint32_t)shape.width);
    put_u32(control + 8, (uint32_t)shape.height);
    put_u16(control + 20, delay_ms);
    put_u16(control + 22, 1000);
    return put_chunk(out, "fcTL", control, sizeof control, control, 0, e);
}

/* The frame's own chunks: its header once, its image data as the first frame's or a later one's. */
static int put_frame(struct buf *out, const struct buf *png, int frame, int frames,
                     struct image_shape shape, int delay_ms, uint32_t *sequence, struct err *e)
{
    const uint8_t *at = png->data + SIGNATURE, *end = png->data + png->length;
    bool begun = false;
    for (; at + CHUNK_HEAD + 4 <= end; at += CHUNK_HEAD + 4 + get_u32(at)) {
        size_t length = get_u32(at);
        const uint8_t *data = at + CHUNK_HEAD;
        uint8_t head[8];
        int result = 0;
        if (memcmp(at + 4, "IHDR", 4) == 0 && frame == 0) {
            put_u32(head, (uint32_t)frames);
            put_u32(head + 4, 0); /* for ever */
            result = put_chunk(out, "IHDR", data, length, data, 0, e) != 0 ||
                     put_chunk(out, "acTL", head, 8, data, 0, e) != 0;
        } else if (memcmp(at + 4, "IDAT", 4) == 0) {
            result = begun ? 0 : put_control(out, sequence, shape, delay_ms, e);
            begun = true;
            if (frame > 0)
                put_u32(head, (*sequence)++);
            result = result != 0 || put_chunk(out, frame > 0 ? "fdAT" : "IDAT", head,
                                              frame > 0 ? 4 : 0, data, length, e) != 0;
        }
        if (result != 0)
            return -1;
    }
    return 0;
}

int image_apng_encode(const uint8_t *pixels, int frames, struct image_shape shape, int delay_ms,
                      int last_ms, struct buf *out, struct err *e)
{
    static const uint8_t signature[SIGNATURE] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    const size_t one = image_shape_count(shape);
    uint32_t sequence = 0;
    if (frames < 1 || frames > FRAMES_MAX || delay_ms < 0 || delay_ms > 65535 || last_ms < 0 ||
        last_ms > 65535)
        return err_fail(e, ERR_LIMIT, "frames", "%d frames of %d ms cannot be one picture", frames,
                        delay_ms);
    int result = buf_append(out, signature, sizeof signature, e);
    for (int i = 0; i < frames && result == 0; i++) {
        struct buf png;
        buf_init(&png, FRAME_BYTES_MAX);
        result = image_png_encode(pixels + (size_t)i * one, shape, NULL, NULL, &png, e) != 0 ||
                 put_frame(out, &png, i, frames, shape, i + 1 < frames ? delay_ms : last_ms,
                           &sequence, e) != 0;
        buf_clear(&png);
    }
    return result != 0 ? -1 : put_chunk(out, "IEND", signature, 0, signature, 0, e);
}
