// @kubernetes/client-node (npm) through the scenario: prints "ok STEP" after each step.
import assert from 'node:assert';
import { Writable } from 'node:stream';
import { createRequire } from 'node:module';

const [, , modules, kubeconfig] = process.argv;
const k8s = createRequire(modules + '/x.js')('@kubernetes/client-node');
const kc = new k8s.KubeConfig();
kc.loadFromFile(kubeconfig);
const core = kc.makeApiClient(k8s.CoreV1Api), apps = kc.makeApiClient(k8s.AppsV1Api);
const coordination = kc.makeApiClient(k8s.CoordinationV1Api);
const namespace = 'default', name = 'node', labels = { app: name };
const ok = (step) => console.log('ok ' + step);
const limit = setTimeout(() => { console.error('too slow'); process.exit(1); }, 120000);

await apps.createNamespacedDeployment({ namespace, body: { metadata: { name }, spec: { replicas: 1, selector: { matchLabels: labels },
  template: { metadata: { labels }, spec: { terminationGracePeriodSeconds: 0, containers: [{ name: 'c', image: 'fairlead/echo' }] } } } } });
await core.createNamespacedService({ namespace, body: { metadata: { name }, spec: { selector: labels, ports: [{ port: 80, targetPort: 8080 }] } } });
await core.createNamespacedConfigMap({ namespace, body: { metadata: { name }, data: { a: '1' } } });
ok('create');

const ready = (p) => (p.status?.conditions ?? []).some((c) => c.type === 'Ready' && c.status === 'True');
const pod = await new Promise((resolve, reject) => {
  const informer = k8s.makeInformer(kc, `/api/v1/namespaces/${namespace}/pods`,
    () => core.listNamespacedPod({ namespace, labelSelector: 'app=' + name }), 'app=' + name);
  const look = (p) => { if (ready(p)) { resolve(p); informer.stop(); } };
  informer.on('add', look);
  informer.on('update', look);
  informer.on('error', reject);
  informer.start();
});
ok('watch');

const pods = await core.listNamespacedPod({ namespace, labelSelector: 'app=' + name });
assert.deepEqual(pods.items.map((p) => p.metadata.name), [pod.metadata.name]);
ok('list');

const patched = await core.patchNamespacedConfigMap({ namespace, name, body: [{ op: 'add', path: '/data/b', value: '2' }] });
assert.deepEqual(patched.data, { a: '1', b: '2' });
ok('patch');

let said = '';
const out = new Writable({ write(chunk, encoding, next) { said += chunk; next(); } });
const status = await new Promise((resolve, reject) =>
  new k8s.Exec(kc).exec(namespace, pod.metadata.name, 'c', ['sh', '-c', 'echo out'], out, null, null, false, resolve).catch(reject));
assert.equal(status.status, 'Success');
assert.equal(said, 'out\n');
ok('exec');

// There is no election in this client: what one does, by hand. Who replaces an old version loses.
const lease = await coordination.createNamespacedLease({ namespace, body: { metadata: { name }, spec: { holderIdentity: 'me', leaseDurationSeconds: 3 } } });
const mine = await coordination.replaceNamespacedLease({ namespace, name, body: { ...lease, spec: { ...lease.spec, holderIdentity: 'you' } } });
assert.equal(mine.spec.holderIdentity, 'you');
await assert.rejects(coordination.replaceNamespacedLease({ namespace, name, body: { ...lease, spec: { ...lease.spec, holderIdentity: 'me' } } }), (e) => e.code === 409);
ok('election');

const gone = await core.deleteNamespacedService({ namespace, name });
assert.equal(gone.metadata.name, name);
await core.deleteNamespacedConfigMap({ namespace, name });
await apps.deleteNamespacedDeployment({ namespace, name, propagationPolicy: 'Foreground' });
while ((await core.listNamespacedPod({ namespace, labelSelector: 'app=' + name })).items.length)
  await new Promise((resolve) => setTimeout(resolve, 100));
ok('delete');
clearTimeout(limit);
process.exit(0);
