#include "cninode/node_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/files.h"
#include "base/log.h"
#include "cni/cni_config.h"

enum { PROGRAM_BYTES_MAX = 64 * 1024 * 1024 };

static int read_file(const char *path, size_t max, struct buf *ret, struct err *reterr)
{
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    char part[65536];
    ssize_t n = fd < 0 ? -1 : 1;
    while (n > 0) {
        n = read(fd, part, sizeof(part));
        if (n > 0)
            buf_add(ret, part, (size_t)n);
        if (ret->n > max)
            return err_set(reterr, -EFBIG, NULL, "%s has more than %zu bytes", path, max);
    }
    return n < 0 ? err_set(reterr, -errno, NULL, "read %s: %s", path, strerror(errno)) : 0;
}

/* ---- the program ---- */

/* Nobody has touched it since: a megabyte and a half is not read each time. */
static bool is_as_put(const struct node_files *f, const struct stat *now)
{
    const struct stat *then = &f->as_put;
    return then->st_ino && now->st_ino == then->st_ino && now->st_dev == then->st_dev &&
           now->st_size == then->st_size && now->st_mode == then->st_mode &&
           now->st_ctim.tv_sec == then->st_ctim.tv_sec &&
           now->st_ctim.tv_nsec == then->st_ctim.tv_nsec;
}

static int put_program(struct node_files *f, bool *changed, struct err *reterr)
{
    AUTO_DONE(buf) struct buf ours = {0}, theirs = {0};
    AUTO_CHARS char *path = xasprintf("%s/%s", f->bin_dir, CNI_PLUGIN);
    struct stat now = {0};
    if (stat(path, &now) == 0 && is_as_put(f, &now))
        return 0;
    int r = read_file(f->program, PROGRAM_BYTES_MAX, &ours, reterr);
    if (r < 0)
        return r;
    if (read_file(path, PROGRAM_BYTES_MAX, &theirs, NULL) == 0 &&
        str_eq(buf_str(&ours), buf_str(&theirs)) && access(path, X_OK) == 0) {
        f->as_put = now;
        return 0;
    }
    *changed = true;
    return f->dry ? 0 : file_replace(path, buf_str(&ours), 0755, reterr);
}

/* ---- the list ---- */

static bool is_list(const char *name)
{
    return str_ends(str_from(name), STR(".conflist"));
}

static bool is_single(const char *name)
{
    return str_ends(str_from(name), STR(".conf")) || str_ends(str_from(name), STR(".json"));
}

/* The first by name is the one that a runtime takes. *ret: its path. */
static int find_list(const struct node_files *f, char **ret, struct err *reterr)
{
    AUTO_CHARS char *first = NULL;
    if (f->conf_name) {
        *ret = xasprintf("%s/%s", f->conf_dir, f->conf_name);
        return 0;
    }
    DIR *d = opendir(f->conf_dir);
    if (!d)
        return err_set(reterr, -errno, NULL, "open %s: %s", f->conf_dir, strerror(errno));
    const struct dirent *e;
    while ((e = readdir(d)))
        if ((is_list(e->d_name) || is_single(e->d_name)) &&
            (!first || strcmp(e->d_name, first) < 0)) {
            free(first);
            first = xstrdup(e->d_name);
        }
    closedir(d);
    if (!first)
        return err_set(reterr, -ENOENT, NULL,
                       "%s has no list of plugins yet: the node's network is not set up",
                       f->conf_dir);
    if (!is_list(first))
        return err_set(reterr, -EINVAL, NULL,
                       "%s/%s is one plugin and no list: make it a .conflist, in which others can "
                       "stand behind it",
                       f->conf_dir, first);
    *ret = xasprintf("%s/%s", f->conf_dir, first);
    return 0;
}

static int read_list(const char *path, json_t **ret, mode_t *ret_mode, struct err *reterr)
{
    AUTO_DONE(buf) struct buf text = {0};
    struct err err = {0};
    struct stat st;
    int r = read_file(path, CNI_CONFIG_BYTES_MAX, &text, reterr);
    if (r < 0)
        return r;
    *ret_mode = stat(path, &st) == 0 ? st.st_mode & 0777 : 0644;
    r = json_parse(buf_str(&text), 0, NULL, ret, &err);
    return r < 0 ? err_set(reterr, r, NULL, "%s: %s", path, err_text(&err)) : 0;
}

static int write_list(const char *path, const json_t *list, mode_t mode, struct err *reterr)
{
    AUTO_DONE(buf) struct buf text = {0};
    json_write_indented(&text, list);
    buf_add_cstr(&text, "\n");
    return file_replace(path, buf_str(&text), mode, reterr);
}

static int put_entry(const struct node_files *f, bool *changed, struct err *reterr)
{
    AUTO_CHARS char *path = NULL;
    AUTO_JSON json_t *list = NULL;
    struct err err = {0};
    mode_t mode;
    bool put = false;
    int r = find_list(f, &path, reterr);
    if (r == 0)
        r = read_list(path, &list, &mode, reterr);
    if (r < 0)
        return r;
    r = cni_list_put(list, f->socket, f->excluded, &put, &err);
    if (r < 0)
        return err_set(reterr, r, NULL, "%s: %s", path, err_text(&err));
    *changed = *changed || put;
    if (!put || f->dry)
        return 0;
    r = write_list(path, list, mode, reterr);
    if (r == 0)
        log_info("the node's network has our plugin", kv_s("file", path));
    return r;
}

/* The entry last: a program that is named and not there would keep every pod from starting. */
int node_files_put(struct node_files *f, bool *ret_changed, struct err *reterr)
{
    *ret_changed = false;
    int r = put_program(f, ret_changed, reterr);
    return r < 0 ? r : put_entry(f, ret_changed, reterr);
}

static int remove_from(const char *path, struct err *reterr)
{
    AUTO_JSON json_t *list = NULL;
    mode_t mode;
    int r = read_list(path, &list, &mode, reterr);
    return r < 0 || !cni_list_remove(list) ? r : write_list(path, list, mode, reterr);
}

/* Of whatever list it is in: which one comes first may have changed meanwhile. */
static int remove_entries(const struct node_files *f, struct err *reterr)
{
    DIR *d = opendir(f->conf_dir);
    const struct dirent *e;
    int r = 0;
    while (d && r == 0 && (e = readdir(d))) {
        AUTO_CHARS char *path = xasprintf("%s/%s", f->conf_dir, e->d_name);
        if (is_list(e->d_name))
            r = remove_from(path, reterr);
    }
    if (d)
        closedir(d);
    return r;
}

int node_files_remove(const struct node_files *f, struct err *reterr)
{
    AUTO_CHARS char *program = xasprintf("%s/%s", f->bin_dir, CNI_PLUGIN);
    int r = remove_entries(f, reterr);
    if (r == 0 && unlink(program) < 0 && errno != ENOENT)
        r = err_set(reterr, -errno, NULL, "remove %s: %s", program, strerror(errno));
    return r;
}
