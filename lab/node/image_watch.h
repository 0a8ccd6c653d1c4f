#pragma once
/* Which commands stand for images, as the lab's file says it now. */

#include "lab/image.h"
#include "net/loop.h"

struct image_watch;

typedef void image_watch_fn(void *user);

/* Fills the table from the file IMAGE_FILE in directory, now and whenever it is replaced. Never
 * NULL: without a watch there is a warning. */
struct image_watch *image_watch_new(struct loop *l, const char *directory,
                                    struct image_table *table, image_watch_fn *changed, void *user);
void image_watch_free(struct image_watch *w);
