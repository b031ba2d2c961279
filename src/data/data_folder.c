/* The names in a folder of PNGs, or in a ZIP archive of one.
 *
 * Rules. Names that begin with a dot are passed over. Other names that do not end in .png (in any
 * case) are passed over with a count, for folders hold lists and licences; pictures of other kinds
 * among them are named and skipped. Folders within folders
 * within the folder are named and skipped. A dataset.json beside them lists the classes, as the
 * tools of EDM and StyleGAN write it (data_pictures.h). */
#include "base_file.h"
#include "data_pictures.h"
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define LABELS "dataset.json"
#define HEAD_BYTES 12 /* that tell a picture */
#define LABELS_BYTES_MAX ((size_t)256 << 20)

/* ---- a folder ---- */

static int compare_names(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int not_hidden(const struct dirent *d)
{
    return d->d_name[0] != '.';
}

/* A file of another name: its first bytes say whether somebody takes it for a picture. */
static int pass_over(struct data_listing *l, const char *name, const char *path, struct err *e)
{
    unsigned char head[HEAD_BYTES];
    struct file_reader reader;
    struct err why = {0};
    if (file_reader_open(&reader, path, &why) != 0)
        return why.code == ERR_INPUT ? data_listing_pass(l, name, head, 0, e) : err_pass(e, &why);
    const size_t length = reader.length < sizeof head ? reader.length : sizeof head;
    int result = file_reader_read(&reader, 0, head, length, e);
    file_reader_close(&reader);
    return result == 0 ? data_listing_pass(l, name, head, length, e) : -1;
}

/* `within`: the folder's name below the set's with a '/' behind it, or "". */
static int list_folder(struct data_listing *l, const char *within, struct err *e);

static int list_entry(struct data_listing *l, const char *name, bool top, struct err *e)
{
    const char *slash = strrchr(name, '/'), *own = slash ? slash + 1 : name;
    struct stat st;
    struct err why = {0};
    char *path = data_listing_path(l, name, e);
    int result = 0;
    bool there;
    if (!path)
        return -1;
    if (file_look(path, true, &there, &st, &why) != 0) {
        result = why.code == ERR_INPUT ? data_draft_skip(l->set, &why, e) : err_pass(e, &why);
    } else if (!there) {
        err_fail(&why, ERR_INPUT, path, "is a link to nothing");
        result = data_draft_skip(l->set, &why, e);
    } else if (S_ISDIR(st.st_mode) && top && !data_picture_named(own)) {
        result = data_listing_folder(l, name, strlen(name), e) != 0 ? -1 : list_folder(l, name, e);
    } else if (S_ISDIR(st.st_mode)) {
        err_fail(&why, ERR_INPUT, path, "is a folder");
        result = data_draft_skip(l->set, &why, e);
    } else if (data_picture_named(own)) {
        result = data_listing_add(l, name, 0, e);
    } else if (!top || strcmp(own, LABELS) != 0) {
        result = pass_over(l, name, path, e);
    }
    free(path);
    return result;
}

static int list_folder(struct data_listing *l, const char *within, struct err *e)
{
    struct dirent **entries;
    char *folder = data_listing_path(l, within, e), *name = NULL;
    int count = folder ? scandir(folder, &entries, not_hidden, compare_names) : -1, result = 0;
    if (count < 0) {
        result = folder ? err_fail_errno(e, errno, folder, "list") : -1;
        free(folder);
        return result;
    }
    for (int i = 0; i < count; i++) {
        if (result == 0 &&
            asprintf(&name, "%s%s%s", within, *within ? "/" : "", entries[i]->d_name) < 0) {
            name = NULL;
            result = err_fail_memory(e, 256);
        }
        if (result == 0)
            result = list_entry(l, name, !*within, e);
        free(name);
        name = NULL;
        free(entries[i]);
    }
    free(entries);
    free(folder);
    return result;
}

static int label_folder(struct data_listing *l, bool *listed, struct err *e)
{
    struct stat st;
    struct buf text;
    char *path = data_listing_path(l, LABELS, e);
    bool there = false;
    int result = path ? file_look(path, true, &there, &st, e) : -1;
    buf_init(&text, LABELS_BYTES_MAX);
    if (there) {
        result = file_read(path, &text, e);
        if (result == 0)
            result = data_listing_label(l, text.data, text.length, listed, e);
    }
    buf_clear(&text);
    free(path);
    return result;
}

int data_folder_read(const struct data_options *o, struct data_draft *set, struct err *e)
{
    struct data_listing l = {.options = o, .set = set};
    bool listed = false;
    int result = list_folder(&l, "", e);
    if (result == 0)
        result = label_folder(&l, &listed, e);
    if (result == 0)
        result = data_listing_read(&l, listed, e);
    data_listing_clear(&l);
    return result;
}

/* ---- an archive ---- */

/* Whether a part of the name begins with a dot. */
static bool is_hidden(const char *name)
{
    return name[0] == '.' || strstr(name, "/.") != NULL;
}

bool data_archive_is(const struct archive_zip *z)
{
    for (size_t i = 0; i < archive_zip_count(z); i++) {
        const char *name = archive_zip_name(z, i);
        if (!is_hidden(name) && data_picture_named(name))
            return true;
    }
    return false;
}

static int list_member(struct data_listing *l, size_t member, struct err *e)
{
    const char *name = archive_zip_name(l->zip, member), *slash = strchr(name, '/');
    struct err why = {0};
    if (is_hidden(name) || strcmp(name, LABELS) == 0)
        return 0;
    if (slash > name && data_listing_folder(l, name, (size_t)(slash - name), e) != 0)
        return -1;
    if (name[strlen(name) - 1] == '/')
        return 0;
    if (!data_picture_named(name))
        return data_listing_pass(l, name, NULL, 0, e); /* by its ending alone */
    if (!slash || (slash > name && !strchr(slash + 1, '/')))
        return data_listing_add(l, name, member, e);
    char *path = data_listing_path(l, name, e);
    if (!path)
        return -1;
    err_fail(&why, ERR_INPUT, path, "is in a folder within a folder");
    free(path);
    return data_draft_skip(l->set, &why, e);
}

static int label_archive(struct data_listing *l, bool *listed, struct err *e)
{
    int64_t at = archive_zip_find(l->zip, LABELS);
    if (at < 0)
        return 0;
    uint64_t size = archive_zip_size(l->zip, (size_t)at);
    if (size > LABELS_BYTES_MAX)
        return err_fail(e, ERR_LIMIT, LABELS, "has %llu bytes", (unsigned long long)size);
    unsigned char *data = malloc((size_t)size + 1);
    if (!data)
        return err_fail_memory(e, (size_t)size);
    int result = archive_zip_read(l->zip, (size_t)at, data, (size_t)size, e);
    if (result == 0)
        result = data_listing_label(l, data, (size_t)size, listed, e);
    free(data);
    return result;
}

int data_archive_read(const struct data_options *o, struct archive_zip *z, struct data_draft *set,
                      struct err *e)
{
    struct data_listing l = {.options = o, .set = set, .zip = z};
    bool listed = false;
    int result = 0;
    for (size_t i = 0; i < archive_zip_count(z) && result == 0; i++)
        result = list_member(&l, i, e);
    if (result == 0)
        result = label_archive(&l, &listed, e);
    if (result == 0)
        result = data_listing_read(&l, listed, e);
    data_listing_clear(&l);
    return result;
}
