// fabric8's client (Maven) through the scenario: prints "ok STEP" after each step. Watches by WebSocket, reads EC keys as SEC1 only.
import io.fabric8.kubernetes.api.model.*;
import io.fabric8.kubernetes.api.model.apps.DeploymentBuilder;
import io.fabric8.kubernetes.client.*;
import io.fabric8.kubernetes.client.Config;
import io.fabric8.kubernetes.client.dsl.ExecWatch;
import io.fabric8.kubernetes.client.dsl.base.*;
import io.fabric8.kubernetes.client.extended.leaderelection.*;
import io.fabric8.kubernetes.client.extended.leaderelection.resourcelock.LeaseLock;
import io.fabric8.kubernetes.client.readiness.Readiness;
import java.io.*;
import java.nio.file.*;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.*;

public class Fabric8 {
    static final String NS = "default", NAME = "fabric8";

    static void ok(String step) {
        System.out.println("ok " + step);
    }

    static void must(boolean good, String what) {
        if (!good) {
            System.err.println(what);
            System.exit(1);
        }
    }

    static void create(KubernetesClient k) {
        Map<String, String> labels = Map.of("app", NAME);
        k.apps().deployments().inNamespace(NS).resource(new DeploymentBuilder().withNewMetadata().withName(NAME).endMetadata().withNewSpec()
            .withReplicas(1).withNewSelector().withMatchLabels(labels).endSelector().withNewTemplate().withNewMetadata().withLabels(labels)
            .endMetadata().withNewSpec().withTerminationGracePeriodSeconds(0L).addNewContainer().withName("c").withImage("fairlead/echo")
            .endContainer().endSpec().endTemplate().endSpec().build()).create();
        k.services().inNamespace(NS).resource(new ServiceBuilder().withNewMetadata().withName(NAME).endMetadata().withNewSpec()
            .withSelector(labels).addNewPort().withPort(80).withNewTargetPort(8080).endPort().endSpec().build()).create();
        k.configMaps().inNamespace(NS).resource(new ConfigMapBuilder().withNewMetadata().withName(NAME).endMetadata()
            .addToData("a", "1").build()).create();
        ok("create");
    }

    static Pod watch(KubernetesClient k) throws Exception {
        CompletableFuture<Pod> ready = new CompletableFuture<>();
        try (Watch w = k.pods().inNamespace(NS).withLabel("app", NAME).watch(new Watcher<Pod>() {
            public void eventReceived(Action action, Pod pod) {
                if (Readiness.getInstance().isReady(pod))
                    ready.complete(pod);
            }

            public void onClose(WatcherException e) {
                if (e != null)
                    ready.completeExceptionally(e);
            }
        })) {
            Pod pod = ready.get(60, TimeUnit.SECONDS);
            ok("watch");
            return pod;
        }
    }

    static void elect(KubernetesClient k) throws Exception {
        CompletableFuture<String> led = new CompletableFuture<>();
        CompletableFuture<?> run = k.leaderElector().withConfig(new LeaderElectionConfigBuilder().withName(NAME)
            .withLeaseDuration(Duration.ofSeconds(3)).withRenewDeadline(Duration.ofSeconds(2)).withRetryPeriod(Duration.ofMillis(500))
            .withLock(new LeaseLock(NS, NAME, "me")).withReleaseOnCancel(true)
            .withLeaderCallbacks(new LeaderCallbacks(() -> led.complete("me"), () -> {}, who -> {})).build()).build().start();
        must(led.get(30, TimeUnit.SECONDS).equals("me"), "not elected");
        must(k.leases().inNamespace(NS).withName(NAME).get().getSpec().getHolderIdentity().equals("me"), "another holds the lease");
        run.cancel(true);
        ok("election");
    }

    public static void main(String[] args) throws Exception {
        Config config = Config.fromKubeconfig(Files.readString(Path.of(args[0])));
        try (KubernetesClient k = new KubernetesClientBuilder().withConfig(config).build()) {
            create(k);
            Pod pod = watch(k);
            must(k.pods().inNamespace(NS).withLabel("app", NAME).list().getItems().size() == 1, "list");
            ok("list");
            ConfigMap cm = k.configMaps().inNamespace(NS).withName(NAME)
                .patch(PatchContext.of(PatchType.JSON_MERGE), "{\"data\":{\"b\":\"2\"}}");
            must(cm.getData().equals(Map.of("a", "1", "b", "2")), "patch: " + cm.getData());
            ok("patch");
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            try (ExecWatch exec = k.pods().inNamespace(NS).withName(pod.getMetadata().getName()).inContainer("c")
                .writingOutput(out).exec("echo", "out")) {
                must(exec.exitCode().get(30, TimeUnit.SECONDS) == 0, "exec");
            }
            must(out.toString().equals("out\n"), "exec: " + out);
            ok("exec");
            elect(k);
            must(k.services().inNamespace(NS).withName(NAME).delete().size() == 1, "delete");
            k.configMaps().inNamespace(NS).withName(NAME).delete();
            k.apps().deployments().inNamespace(NS).withName(NAME).withPropagationPolicy(DeletionPropagation.FOREGROUND).delete();
            k.pods().inNamespace(NS).withLabel("app", NAME).informOnCondition(java.util.List::isEmpty).get(30, TimeUnit.SECONDS);
            ok("delete");
        }
        System.exit(0);
    }
}
