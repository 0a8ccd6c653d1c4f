#pragma once
/* Directories nobody needs any more, removed while the node goes on. */

#include "net/loop.h"

struct trash;
/* In state_dir; goes on with what an earlier node process had begun. */
struct trash *trash_new(struct loop *l, const char *state_dir);
/* The directory leaves its place at once; it may be absent. */
void trash_put(struct trash *t, const char *path);
/* What is still there stays for the next node process, or for lab down. */
void trash_free(struct trash *t);
