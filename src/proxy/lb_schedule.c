/* Schedules by weight. A heap of deadlines: item i is due at k * 2^52 / weight for its k-th place;
 * equal ones in the order of the items. */
#include "proxy/lb_schedule.h"

#include "base/mem.h"

struct due {
    uint64_t at;
    uint64_t stride;
    uint32_t item;
};

static bool before(const struct due *a, const struct due *b)
{
    return a->at != b->at ? a->at < b->at : a->item < b->item;
}

static void sink(struct due *heap, uint32_t n, uint32_t i)
{
    for (;;) {
        uint32_t least = i, left = 2 * i + 1, right = left + 1;
        if (left < n && before(&heap[left], &heap[least]))
            least = left;
        if (right < n && before(&heap[right], &heap[least]))
            least = right;
        if (least == i)
            return;
        struct due d = heap[i];
        heap[i] = heap[least];
        heap[least] = d;
        i = least;
    }
}

static uint32_t gcd(uint32_t a, uint32_t b)
{
    while (b) {
        uint32_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static uint64_t scaled(uint32_t weight, uint32_t divisor, uint64_t sum, uint64_t max)
{
    uint64_t w = weight / divisor;
    if (sum > max && w)
        w = MAX((uint64_t)1, (uint64_t)((__uint128_t)w * max / sum));
    return w;
}

uint32_t *lb_schedule_new(const uint32_t *weights, uint32_t n, uint32_t *ret_n)
{
    uint64_t sum = 0, places = 0, max = MAX((uint64_t)LB_SCHEDULE_MAX, (uint64_t)n * 4);
    uint32_t divisor = 0, used = 0;
    *ret_n = 0;
    for (uint32_t i = 0; i < n; i++)
        divisor = gcd(weights[i], divisor);
    if (!divisor)
        return NULL;
    for (uint32_t i = 0; i < n; i++)
        sum += weights[i] / divisor;
    for (uint32_t i = 0; i < n; i++)
        places += scaled(weights[i], divisor, sum, max);
    struct due *heap = try_malloc(n * sizeof(*heap));
    uint32_t *order = try_malloc(places * sizeof(*order));
    if (!heap || !order) {
        free(heap);
        free(order);
        return NULL;
    }
    for (uint32_t i = 0; i < n; i++) {
        uint64_t w = scaled(weights[i], divisor, sum, max);
        if (w) {
            uint64_t stride = (1ull << 52) / w;
            heap[used++] = (struct due){stride, stride, i};
        }
    }
    for (uint32_t i = used / 2; i-- > 0;)
        sink(heap, used, i);
    for (uint64_t i = 0; i < places; i++) {
        order[i] = heap[0].item;
        heap[0].at += heap[0].stride;
        sink(heap, used, 0);
    }
    free(heap);
    *ret_n = (uint32_t)places;
    return order;
}
