#pragma once
/* Where a client and the endpoints that it may call are, "region/zone/subzone", and who of them is
 * called first: Istio's localityLbSetting. Pure. */

#include "base/vec.h"
#include "model/object_reader.h"

/* Of one locality and one rank. */
struct locality_group {
    struct str locality;
    uint32_t rank;             /* by failoverPriority; 0: the best */
    uint32_t priority, weight; /* of all its endpoints */
};

struct locality_item {
    struct str locality; /* "": not known */
    uint32_t weight;     /* 0: as any, 1 */
    const void *who;     /* what labels are asked of */
    uint32_t group;      /* its own, behind locality_sort(); UINT32_MAX: it is not called */
};

struct locality_groups {
    VEC(struct locality_group) v;
};

struct locality_caller {
    struct str locality;
    const void *who; /* NULL: nobody in particular: labels do not count */
    /* A label, or nothing; those of topology too. */
    struct str (*label)(const void *who, const char *key, void *user);
    void *user;
};

/* Into groups by locality and what the setting (localityLbSetting; NULL: none) makes of them.
 * fails_over: failures are noticed, so that a lower priority is ever reached. ret: zeroed. */
void locality_sort(const struct locality_caller *c, const json_t *setting, bool fails_over,
                   struct locality_item *items, size_t n, struct locality_groups *ret);
/* Parts of a locality; such as are not there are empty. */
enum { LOCALITY_REGION, LOCALITY_ZONE, LOCALITY_SUBZONE, LOCALITY_PARTS };
void locality_split(struct str locality, struct str ret[LOCALITY_PARTS]);
/* A label's value: "region.zone.subzone", or with slashes. The caller's. */
char *locality_of_label(const char *value);
/* Whom a client calls first, as an object says. */
struct locality_setting {
    bool said;             /* else as the mesh says */
    bool off;              /* it says that it is not to be so */
    const json_t *setting; /* localityLbSetting, checked; of the object; NULL: the default */
};
/* of: a localityLbSetting; NULL: nothing is said. What is wrong is told, and as if it were not. */
void locality_read(struct object_reader *r, const json_t *of, struct locality_setting *ret);
