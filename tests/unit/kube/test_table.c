/* Printer columns: for every kind the row of a plain get and of -o wide, as kubectl's users know
 * them. */
#include "kube/table.h"

#include "base/time.h"
#include "codec/yaml.h"
#include "test.h"

#define NOW  1767323045                                  /* 2026-01-02T03:04:05Z */
#define BORN "creationTimestamp: '2026-01-02T03:00:00Z'" /* 4m5s before */

/* The columns and cells of one priority, "Name=x Age=4m5s". */
static void show(const struct table *t, const json_t *object, int priority, struct buf *ret)
{
    AUTO_JSON json_t *cells = table_cells(t, object);
    buf_clear(ret);
    for (size_t i = 0; i < t->n; i++) {
        if ((t->columns[i].priority > 0) != (priority > 0))
            continue;
        AUTO_DONE(buf) struct buf cell = {0};
        table_write_cell(&cell, &t->columns[i], json_array_get(cells, i), NOW);
        struct str text = buf_str(&cell);
        if (text.n >= 2 && text.p[0] == '"')
            text = str_sub(text, 1, text.n - 1);
        buf_addf(ret, "%s%s=" STR_FMT, ret->n ? "; " : "", t->columns[i].name, STR_ARG(text));
    }
}

struct row {
    const char *what;
    const struct table *table;
    const char *object; /* YAML */
    const char *narrow;
    const char *wide;
};

static const struct row rows[] = {
    {"plain", &table_plain, "metadata: {name: a, " BORN "}", "Name=a; Age=4m5s", ""},
    {"no time", &table_plain, "metadata: {name: a}", "Name=a; Age=<unknown>", ""},
    {"namespace", &table_namespace, "metadata: {name: a, " BORN "}\nstatus: {phase: Active}",
     "Name=a; Status=Active; Age=4m5s", ""},
    {"configmap", &table_configmap,
     "metadata: {name: a, " BORN "}\ndata: {x: 'y'}\nbinaryData: {z: eg==}",
     "Name=a; Data=2; Age=4m5s", ""},
    {"secret", &table_secret, "metadata: {name: a, " BORN "}\ntype: Opaque\ndata: {x: eQ==}",
     "Name=a; Type=Opaque; Data=1; Age=4m5s", ""},
    {"serviceaccount", &table_serviceaccount, "metadata: {name: a, " BORN "}",
     "Name=a; Secrets=0; Age=4m5s", ""},
    {"lease", &table_lease, "metadata: {name: a, " BORN "}\nspec: {holderIdentity: me}",
     "Name=a; Holder=me; Age=4m5s", ""},
    {"cluster ip", &table_service,
     "metadata: {name: a, " BORN "}\n"
     "spec: {type: ClusterIP, clusterIP: 10.0.0.1, ports: [{port: 80}, {port: 53, protocol: UDP}],"
     " selector: {b: c, a: d}}",
     "Name=a; Type=ClusterIP; Cluster-IP=10.0.0.1; External-IP=<none>; Port(s)=80/TCP,53/UDP; "
     "Age=4m5s",
     "Selector=a=d,b=c"},
    {"node port", &table_service,
     "metadata: {name: a, " BORN "}\n"
     "spec: {type: NodePort, clusterIP: 10.0.0.1, externalIPs: [1.1.1.1, 2.2.2.2],"
     " ports: [{port: 80, nodePort: 30080, protocol: TCP}]}",
     "Name=a; Type=NodePort; Cluster-IP=10.0.0.1; External-IP=1.1.1.1,2.2.2.2; "
     "Port(s)=80:30080/TCP; Age=4m5s",
     "Selector=<none>"},
    {"load balancer without address", &table_service,
     "metadata: {name: a, " BORN "}\nspec: {type: LoadBalancer, clusterIP: 10.0.0.1}",
     "Name=a; Type=LoadBalancer; Cluster-IP=10.0.0.1; External-IP=<pending>; Port(s)=<none>; "
     "Age=4m5s",
     "Selector=<none>"},
    {"load balancer", &table_service,
     "metadata: {name: a, " BORN "}\nspec: {type: LoadBalancer, clusterIP: 10.0.0.1}\n"
     "status: {loadBalancer: {ingress: [{ip: 9.9.9.9}, {hostname: x.y}]}}",
     "Name=a; Type=LoadBalancer; Cluster-IP=10.0.0.1; External-IP=9.9.9.9,x.y; Port(s)=<none>; "
     "Age=4m5s",
     "Selector=<none>"},
    {"external name", &table_service,
     "metadata: {name: a, " BORN "}\nspec: {type: ExternalName, externalName: x.example}",
     "Name=a; Type=ExternalName; Cluster-IP=<none>; External-IP=x.example; Port(s)=<none>; "
     "Age=4m5s",
     "Selector=<none>"},
    {"node", &table_node,
     "metadata: {name: 'n', " BORN ", labels: {node-role.kubernetes.io/worker: ''}}\n"
     "spec: {unschedulable: true}\n"
     "status: {conditions: [{type: Ready, status: 'True'}], nodeInfo: {kubeletVersion: v1,"
     " osImage: os, kernelVersion: k, containerRuntimeVersion: r},"
     " addresses: [{type: InternalIP, address: 1.2.3.4}, {type: ExternalIP, address: 5.6.7.8}]}",
     "Name=n; Status=Ready,SchedulingDisabled; Roles=worker; Age=4m5s; Version=v1",
     "Internal-IP=1.2.3.4; External-IP=5.6.7.8; OS-Image=os; Kernel-Version=k; "
     "Container-Runtime=r"},
    {"silent node", &table_node, "metadata: {name: 'n', " BORN "}",
     "Name=n; Status=Unknown; Roles=<none>; Age=4m5s; Version=",
     "Internal-IP=<none>; External-IP=<none>; OS-Image=<none>; Kernel-Version=<none>; "
     "Container-Runtime=<none>"},
    {"deployment", &table_deployment,
     "metadata: {name: d, " BORN "}\n"
     "spec: {replicas: 3, selector: {matchLabels: {a: b}, matchExpressions: [{key: k, operator: In,"
     " values: [x, 'y']}, {key: e, operator: Exists}]}, template: {spec: {containers:"
     " [{name: c, image: i}, {name: d, image: j}]}}}\n"
     "status: {readyReplicas: 2, updatedReplicas: 3, availableReplicas: 1}",
     "Name=d; Ready=2/3; Up-to-date=3; Available=1; Age=4m5s",
     "Containers=c,d; Images=i,j; Selector=a=b,k in (x,y),e"},
    {"replicaset", &table_replicaset,
     "metadata: {name: r, " BORN "}\nspec: {replicas: 3, selector: {matchLabels: {a: b}},"
     " template: {spec: {containers: [{name: c, image: i}]}}}\n"
     "status: {replicas: 2, readyReplicas: 1}",
     "Name=r; Desired=3; Current=2; Ready=1; Age=4m5s", "Containers=c; Images=i; Selector=a=b"},
    {"endpoints", &table_endpoints,
     "metadata: {name: e, " BORN "}\nsubsets: [{addresses: [{ip: 1.1.1.1}, {ip: 1.1.1.2}],"
     " ports: [{port: 80}, {port: 81}]}]",
     "Name=e; Endpoints=1.1.1.1:80,1.1.1.2:80,1.1.1.1:81 + 1 more...; Age=4m5s", ""},
    {"no endpoints", &table_endpoints, "metadata: {name: e, " BORN "}",
     "Name=e; Endpoints=<none>; Age=4m5s", ""},
    {"slice", &table_endpointslice,
     "metadata: {name: s, " BORN "}\naddressType: IPv4\nports: [{port: 80}, {name: any}]\n"
     "endpoints: [{addresses: [1.1.1.1]}, {addresses: [1.1.1.2]}, {addresses: [1.1.1.3]},"
     " {addresses: [1.1.1.4]}]",
     "Name=s; AddressType=IPv4; Ports=80,*; Endpoints=1.1.1.1,1.1.1.2,1.1.1.3 + 1 more...; "
     "Age=4m5s",
     ""},
    {"empty slice", &table_endpointslice, "metadata: {name: s, " BORN "}\naddressType: IPv6",
     "Name=s; AddressType=IPv6; Ports=<unset>; Endpoints=<unset>; Age=4m5s", ""},
    {"event", &table_event,
     "metadata: {name: e, " BORN "}\ntype: Normal\nreason: R\nmessage: \"hello\\n\"\n"
     "involvedObject: {kind: Pod, name: p, fieldPath: 'spec.containers{c}'}\n"
     "source: {component: k, host: 'n'}\nfirstTimestamp: '2026-01-02T01:04:05Z'\n"
     "lastTimestamp: '2026-01-02T03:03:05Z'\ncount: 3",
     "Last Seen=60s; Type=Normal; Reason=R; Object=pod/p; Message=hello",
     "Subobject=spec.containers{c}; Source=k, n; First Seen=120m; Count=3; Name=e"},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_JSON json_t *object = NULL;
        AUTO_DONE(buf) struct buf b = {0};
        struct err err = {0};
        if (yaml_parse(str_from(rows[i].object), &object, &err) < 0)
            fail_msg("%s: %s", rows[i].what, err_text(&err));
        show(rows[i].table, object, 0, &b);
        if (!str_is(buf_str(&b), rows[i].narrow))
            fail_msg("%s: \"%s\", wanted \"%s\"", rows[i].what, buf_cstr(&b), rows[i].narrow);
        show(rows[i].table, object, 1, &b);
        if (!str_is(buf_str(&b), rows[i].wide))
            fail_msg("%s: \"%s\", wanted \"%s\"", rows[i].what, b.n ? buf_cstr(&b) : "",
                     rows[i].wide);
    }
}

#define RUNNING "state: {running: {startedAt: x}}"
static const struct {
    const char *pod; /* YAML */
    const char *ready, *status, *restarts;
} pods[] = {
    {"spec: {containers: [{name: a}]}\nstatus: {phase: Pending}", "0/1", "Pending", "0"},
    {"spec: {containers: [{name: a}]}\nstatus: {phase: Running, containerStatuses:"
     " [{name: a, ready: true, restartCount: 0, " RUNNING "}]}",
     "1/1", "Running", "0"},
    {"spec: {containers: [{name: a}]}\nstatus: {phase: Running, containerStatuses:"
     " [{name: a, ready: false, restartCount: 4, state: {waiting: {reason: CrashLoopBackOff}},"
     " lastState: {terminated: {finishedAt: '2026-01-02T03:03:05Z'}}}]}",
     "0/1", "CrashLoopBackOff", "4 (60s ago)"},
    {"spec: {containers: [{name: a}]}\nstatus: {phase: Succeeded, containerStatuses:"
     " [{name: a, ready: false, restartCount: 0, state: {terminated: {exitCode: 0,"
     " reason: Completed}}}]}",
     "0/1", "Completed", "0"},
    {"spec: {containers: [{name: a}]}\nstatus: {phase: Failed, containerStatuses:"
     " [{name: a, ready: false, restartCount: 0, state: {terminated: {exitCode: 7}}}]}",
     "0/1", "ExitCode:7", "0"},
    {"spec: {containers: [{name: a}]}\nstatus: {phase: Failed, containerStatuses:"
     " [{name: a, ready: false, restartCount: 0, state: {terminated: {signal: 9}}}]}",
     "0/1", "Signal:9", "0"},
    {"spec: {initContainers: [{name: i}, {name: j}], containers: [{name: a}]}\n"
     "status: {phase: Pending, initContainerStatuses: [{name: i, state: {terminated:"
     " {exitCode: 0}}}, {name: j, " RUNNING "}]}",
     "0/1", "Init:1/2", "0"},
    {"spec: {initContainers: [{name: i}], containers: [{name: a}]}\n"
     "status: {phase: Pending, initContainerStatuses: [{name: i, restartCount: 2, state:"
     " {terminated: {exitCode: 1, reason: Error}}}]}",
     "0/1", "Init:Error", "2"},
    {"spec: {initContainers: [{name: i, restartPolicy: Always}], containers: [{name: a}]}\n"
     "status: {phase: Running, conditions: [{type: Initialized, status: 'True'}],"
     " initContainerStatuses: [{name: i, started: true, ready: true, restartCount: 0, " RUNNING
     "}], containerStatuses: [{name: a, ready: true, restartCount: 0, " RUNNING "}]}",
     "2/2", "Running", "0"},
    {"metadata: {deletionTimestamp: '2026-01-02T03:04:05Z'}\nspec: {containers: [{name: a}]}\n"
     "status: {phase: Running}",
     "0/1", "Terminating", "0"},
    {"metadata: {deletionTimestamp: '2026-01-02T03:04:05Z'}\nspec: {containers: [{name: a}]}\n"
     "status: {phase: Running, reason: NodeLost}",
     "0/1", "Unknown", "0"},
    {"spec: {containers: [{name: a}]}\nstatus: {phase: Failed, reason: Evicted}", "0/1", "Evicted",
     "0"},
    {"spec: {containers: [{name: a}]}\nstatus: {phase: Pending, conditions: [{type: PodScheduled,"
     " status: 'False', reason: SchedulingGated}]}",
     "0/1", "SchedulingGated", "0"},
};

static void test_pods(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(pods); i++) {
        AUTO_JSON json_t *object = NULL;
        AUTO_DONE(buf) struct buf b = {0};
        assert_int_equal(yaml_parse(str_from(pods[i].pod), &object, NULL), 0);
        json_put_str(object, "metadata.name", "p");
        show(&table_pod, object, 0, &b);
        AUTO_CHARS char *want = xasprintf("Name=p; Ready=%s; Status=%s; Restarts=%s; Age=<unknown>",
                                          pods[i].ready, pods[i].status, pods[i].restarts);
        if (!str_is(buf_str(&b), want))
            fail_msg("pod %zu: \"%s\", wanted \"%s\"", i, buf_cstr(&b), want);
    }
}

static void test_wide_pod(void **state)
{
    AUTO_JSON json_t *object = NULL;
    AUTO_DONE(buf) struct buf b = {0};
    (void)state;
    assert_int_equal(
        yaml_parse(STR("spec: {nodeName: 'n', readinessGates: [{conditionType: a},"
                       " {conditionType: b}], containers: [{name: c}]}\n"
                       "status: {podIP: 1.2.3.4, conditions: [{type: a, status: 'True'}]}"),
                   &object, NULL),
        0);
    show(&table_pod, object, 1, &b);
    assert_string_equal(buf_cstr(&b),
                        "IP=1.2.3.4; Node=n; Nominated Node=<none>; Readiness Gates=1/2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_pods),
        cmocka_unit_test(test_wide_pod),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
