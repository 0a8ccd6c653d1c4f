#pragma once
/* Which command stands for an image name. */

#include "base/err.h"
#include "base/str.h"
#include "base/vec.h"

struct image {
    char *name; /* without registry, tag and digest: "nginx", "fairlead/echo"; a full reference also
                   matches */
    char **command;  /* entrypoint and arguments, NULL-terminated; NULL = the manifest must say */
    bool keeps_args; /* args of the manifest are given to the command; false: they are for the
                        original image, ignored */
    bool no_entrypoint; /* args of the manifest are the command (busybox, alpine, …) */
    bool stands_in;     /* another program in place of the original */
    bool is_mode;       /* one that understands its original's arguments */
};

struct image_table {
    VEC(struct image) own;  /* --image NAME=COMMAND, before the built-in ones */
    VEC(struct image) told; /* of the lab's file, before all others */
};

/* The file in a lab's directory that `fairlead lab image` writes: a NAME=COMMAND a line. */
#define IMAGE_FILE "images"

void image_table_done(struct image_table *t);
/* "NAME=COMMAND with words"; words split at spaces, '…' and "…" keep them together. */
int image_table_add(struct image_table *t, const char *spec, struct err *reterr) NODISCARD;
/* The told ones are those of this text from now on; of two for one name the last counts. A line
 * that is none is skipped. What image_find() gave before is gone. */
void image_table_tell(struct image_table *t, struct str text);
/* NULL = nobody knows it. Borrowed. */
const struct image *image_find(const struct image_table *t, const char *reference);
/* Name and tag are well-formed ("a//b:" is not): a malformed one is InvalidImageName. */
bool image_reference_is_valid(const char *reference);

/* Kubernetes' rule: command replaces the entrypoint, args replace its arguments. Owned,
 * NULL-terminated; NULL when there is no command at all. */
char **image_argv(const struct image *image, char *const *command, size_t n_command,
                  char *const *args, size_t n_args);
void argv_free(char **argv);
