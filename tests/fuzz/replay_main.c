/* Replays a corpus directory through one fuzz target in a plain build: no fuzzer needed, every old
 * crash a test. Then each input again, once for every allocation that may fail (try_malloc and its
 * kin) with that one failing: no crash, no leak, whatever fails. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/fault.h"

enum { REPLAY_FAULTS_MAX = 2000 }; /* of one input */

static unsigned long faults_tried;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* A target whose code ends the program for want of memory defines it: no allocation is failed. */
void fuzz_without_faults(void) __attribute__((weak));

static int replay_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return -1;
    static uint8_t buf[4 << 20];
    size_t n = fread(buf, 1, sizeof(buf), f);
    fclose(f);
    /* An exact-size copy, so that a sanitizer sees a read past the end. */
    uint8_t *copy = malloc(n ? n : 1);
    for (size_t i = 0; i < n; i++)
        copy[i] = buf[i];
    fault_arm(FAULT_ALLOC, 0);
    LLVMFuzzerTestOneInput(copy, n);
    unsigned long hits = fuzz_without_faults ? 0 : fault_hits(FAULT_ALLOC);
    for (unsigned long nth = 1; nth <= hits && nth <= REPLAY_FAULTS_MAX; nth++, faults_tried++) {
        fault_arm(FAULT_ALLOC, nth);
        LLVMFuzzerTestOneInput(copy, n);
    }
    free(copy);
    return 0;
}

int main(int argc, char **argv)
{
    int files = 0;
    for (int i = 1; i < argc; i++) {
        DIR *dir = opendir(argv[i]);
        if (!dir) {
            fprintf(stderr, "replay: cannot open corpus %s\n", argv[i]);
            return 1;
        }
        for (struct dirent *e; (e = readdir(dir));) {
            char path[4096];
            if (e->d_name[0] == '.')
                continue;
            snprintf(path, sizeof(path), "%s/%s", argv[i], e->d_name);
            if (replay_file(path) == 0)
                files++;
        }
        closedir(dir);
    }
    printf("replayed %d inputs, failed %lu allocations\n", files, faults_tried);
    return files > 0 ? 0 : 1;
}
