// client-go through the scenario: prints "ok STEP" after each step. Typed (protobuf), informers, WebSocket exec, leases.
package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/tools/remotecommand"
)

const ns, name = "default", "go"

func ok(step string) { fmt.Println("ok", step) }

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func must(good bool, what string, v any) {
	if !good {
		check(fmt.Errorf("%s: %v", what, v))
	}
}

func isReady(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
			return true
		}
	}
	return false
}

func create(ctx context.Context, k kubernetes.Interface) {
	labels := map[string]string{"app": name}
	one, zero := int32(1), int64(0)
	meta := metav1.ObjectMeta{Name: name}
	_, err := k.AppsV1().Deployments(ns).Create(ctx, &appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{
		Replicas: &one, Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: &zero, Containers: []corev1.Container{{Name: "c", Image: "fairlead/echo"}}}}}}, metav1.CreateOptions{})
	check(err)
	_, err = k.CoreV1().Services(ns).Create(ctx, &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{
		Selector: labels, Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}}}}, metav1.CreateOptions{})
	check(err)
	_, err = k.CoreV1().ConfigMaps(ns).Create(ctx, &corev1.ConfigMap{ObjectMeta: meta, Data: map[string]string{"a": "1"}}, metav1.CreateOptions{})
	check(err)
	ok("create")
}

func watch(ctx context.Context, k kubernetes.Interface) *corev1.Pod {
	found := make(chan *corev1.Pod, 16)
	factory := informers.NewSharedInformerFactoryWithOptions(k, 0, informers.WithNamespace(ns),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = "app=" + name }))
	look := func(o any) {
		if p := o.(*corev1.Pod); isReady(p) {
			select {
			case found <- p:
			default:
			}
		}
	}
	_, err := factory.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: look, UpdateFunc: func(_, o any) { look(o) }})
	check(err)
	factory.Start(ctx.Done())
	select {
	case p := <-found:
		ok("watch")
		return p
	case <-ctx.Done():
		check(ctx.Err())
	}
	return nil
}

func elect(ctx context.Context, k kubernetes.Interface) {
	ctx, cancel := context.WithCancel(ctx)
	led := make(chan bool, 1)
	lock := &resourcelock.LeaseLock{LeaseMeta: metav1.ObjectMeta{Namespace: ns, Name: name}, Client: k.CoordinationV1(),
		LockConfig: resourcelock.ResourceLockConfig{Identity: "me"}}
	go leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{Lock: lock, ReleaseOnCancel: true,
		LeaseDuration: 3 * time.Second, RenewDeadline: 2 * time.Second, RetryPeriod: 500 * time.Millisecond,
		Callbacks: leaderelection.LeaderCallbacks{OnStartedLeading: func(context.Context) { led <- true }, OnStoppedLeading: func() { led <- false }}})
	must(<-led, "not elected", name)
	lease, err := k.CoordinationV1().Leases(ns).Get(ctx, name, metav1.GetOptions{})
	check(err)
	must(*lease.Spec.HolderIdentity == "me", "holder", *lease.Spec.HolderIdentity)
	cancel()
	must(!<-led, "not released", name)
	ok("election")
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	config, err := clientcmd.BuildConfigFromFlags("", os.Args[1])
	check(err)
	k, err := kubernetes.NewForConfig(config)
	check(err)
	create(ctx, k)
	pod := watch(ctx, k)
	pods, err := k.CoreV1().Pods(ns).List(ctx, metav1.ListOptions{LabelSelector: "app=" + name,
		FieldSelector: fields.OneTermEqualSelector("spec.nodeName", pod.Spec.NodeName).String(), Limit: 10})
	check(err)
	must(len(pods.Items) == 1 && pods.Items[0].Name == pod.Name, "list", pods.Items)
	ok("list")
	cm, err := k.CoreV1().ConfigMaps(ns).Patch(ctx, name, types.StrategicMergePatchType, []byte(`{"data":{"b":"2"}}`), metav1.PatchOptions{})
	check(err)
	must(cm.Data["a"] == "1" && cm.Data["b"] == "2", "patch", cm.Data)
	ok("patch")
	request := k.CoreV1().RESTClient().Post().Resource("pods").Namespace(ns).Name(pod.Name).SubResource("exec").
		Param("container", "c").Param("stdout", "true").Param("command", "echo").Param("command", "out")
	executor, err := remotecommand.NewWebSocketExecutor(config, "GET", request.URL().String())
	check(err)
	var out bytes.Buffer
	check(executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: &out}))
	must(out.String() == "out\n", "exec", out.String())
	ok("exec")
	elect(ctx, k)
	check(k.CoreV1().Services(ns).Delete(ctx, name, metav1.DeleteOptions{}))
	check(k.CoreV1().ConfigMaps(ns).Delete(ctx, name, metav1.DeleteOptions{}))
	policy := metav1.DeletePropagationForeground
	check(k.AppsV1().Deployments(ns).Delete(ctx, name, metav1.DeleteOptions{PropagationPolicy: &policy}))
	for {
		pods, err := k.CoreV1().Pods(ns).List(ctx, metav1.ListOptions{LabelSelector: "app=" + name})
		check(err)
		if len(pods.Items) == 0 {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	ok("delete")
}
