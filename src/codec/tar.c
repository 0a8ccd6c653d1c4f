/* ustar: blocks of 512 bytes, numbers in octal text. */
#include "codec/tar.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "base/mem.h"

enum { TAR_BLOCK = 512 };

struct tar_head {
    char name[100], mode[8], uid[8], gid[8], size[12], time[12], sum[8], kind, link[100], magic[6],
        version[2], user[32], group[32], major[8], minor[8], prefix[155], pad[12];
};
static_assert(sizeof(struct tar_head) == TAR_BLOCK, "one block");

static const char zeros[TAR_BLOCK];

int tar_add(struct buf *b, const char *name, uint64_t time_s, struct str content,
            struct err *reterr)
{
    struct tar_head h = {.mode = "0000600",
                         .uid = "0000000",
                         .gid = "0000000",
                         .sum = "       ",
                         .kind = '0',
                         .magic = "ustar",
                         .version = {'0', '0'}};
    unsigned sum = 0;
    char size[16], time[16];
    if (strlen(name) > TAR_NAME_MAX)
        return err_set(reterr, -ENAMETOOLONG, NULL, "%s: longer than %d bytes", name, TAR_NAME_MAX);
    memcpy(h.name, name, strlen(name));
    snprintf(size, sizeof(size), "%011llo", (unsigned long long)content.n);
    snprintf(time, sizeof(time), "%011llo", (unsigned long long)time_s);
    memcpy(h.size, size, sizeof(h.size));
    memcpy(h.time, time, sizeof(h.time));
    h.sum[7] = ' ';
    for (size_t i = 0; i < sizeof(h); i++)
        sum += ((const unsigned char *)&h)[i];
    snprintf(h.sum, sizeof(h.sum), "%06o", sum); /* then a NUL and the blank that is there */
    buf_add(b, &h, sizeof(h));
    buf_add_str(b, content);
    if (content.n % TAR_BLOCK)
        buf_add(b, zeros, TAR_BLOCK - content.n % TAR_BLOCK);
    return b->failed ? err_set(reterr, -ENOMEM, NULL, "%s: the archive is full", name) : 0;
}

void tar_end(struct buf *b)
{
    buf_add(b, zeros, TAR_BLOCK);
    buf_add(b, zeros, TAR_BLOCK);
}
