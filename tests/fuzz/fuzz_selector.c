/* Label and field selectors; what parses is matched.
 * fuzz-layer: kube */
#include "kube/selector.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct label labels[] = {{"app", "web"}, {"a", "5"}};
    struct str text = str_of(data, size);
    struct selector s;
    if (selector_parse_labels(text, &s, NULL) == 0) {
        (void)selector_matches(&s, labels, ARRAY_LEN(labels));
        selector_done(&s);
    }
    if (selector_parse_fields(text, &s, NULL) == 0) {
        (void)selector_matches(&s, labels, ARRAY_LEN(labels));
        selector_done(&s);
    }
    return 0;
}
