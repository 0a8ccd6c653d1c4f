/* fuzz-layer: model
 * AdmissionReviews of pods: whatever comes, the answer is none, or one with the uid; a pod that got
 * a proxy gets no second one. */
#include <stdlib.h>

#include "model/inject_review.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct inject_options options = {.image = "fairlead/proxy",
                                                  .revision = "fairlead"};
    AUTO_JSON json_t *review = NULL;
    AUTO_JSON json_t *answer = NULL;
    bool yes;
    if (json_parse(str_of(data, size), 0, NULL, &review, NULL) < 0 ||
        inject_review(review, &options, NULL, &answer, &yes, NULL) < 0)
        return 0;
    if (!json_at_str(answer, "response.uid") || yes != (json_at(answer, "response.patch") != NULL))
        abort();
    json_t *pod = json_at(review, "request.object");
    if (yes &&
        (inject_pod(pod, NULL, &options, NULL) < 0 || inject_decide(pod, NULL, NULL, &options).yes))
        abort();
    return 0;
}
