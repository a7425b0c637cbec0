// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clientset "k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"

	"safebeam.dev/safebeam/pkg/controller/loop"
	"safebeam.dev/safebeam/pkg/launcher"
)

const (
	fieldManager = "safebeam-controller"
	// unseen is how long a Job that we launched is listed although no informer
	// has shown it: it was deleted in a gap of the watch.
	unseen = time.Minute
	// lookPeriod is how often pods are looked at that do not start.
	lookPeriod = time.Second
	// recordWorkers write the records of pods. A cold turn waits for its own.
	recordWorkers = 4
)

// ReasonNamespaceClosed: the namespace is not open to our jobs.
const ReasonNamespaceClosed = "NamespaceNotOpen"

// Options are what the launcher works with.
type Options struct {
	Client  clientset.Interface
	Records Records
	Images  Images
	Network Network
	// GatewayAddress is where jobs dial.
	GatewayAddress string
	// GatewayCA returns the certificates, as PEM, that the gateway's comes
	// from, and nothing while they are not known.
	GatewayCA func() []byte
	// OpenCommand tells people how to open a namespace; it has one %s.
	OpenCommand string
	Clock       clock.WithTicker
}

// Records are the gateway's records of pods.
type Records interface {
	Bind(ctx context.Context, spec launcher.JobSpec, job string, pod types.UID) error
	Drop(ctx context.Context, model cache.ObjectName, pod types.UID) error
	// List returns the pods that are recorded for the models of all namespaces.
	List(ctx context.Context) (map[cache.ObjectName][]types.UID, error)
}

// Launcher runs jobs as Jobs.
type Launcher struct {
	options  Options
	jobs     cache.SharedIndexInformer
	pods     cache.SharedIndexInformer
	policies cache.SharedIndexInformer
	records  *loop.Loop
	// informers end with the context that New was given.
	informers sync.WaitGroup

	mu     sync.Mutex
	notify func(cache.ObjectName)
	// fresh are the Jobs that no informer has shown yet, by name.
	fresh map[string]launcher.Job
	// over are exits that are not to be seen in the cluster, or not for ever:
	// of Jobs that we gave up, by name.
	over map[string]launcher.Job
	// forgotten are exited Jobs that wait for their end, by UID.
	forgotten map[types.UID]bool
	// lost are the policies of models that left, for as long as pods need them.
	lost map[cache.ObjectName]*networkingv1.NetworkPolicy
	// bound are the pods that have a record.
	bound map[cache.ObjectName]boundPod
}

type boundPod struct {
	uid   types.UID
	model cache.ObjectName
}

// New watches Jobs, pods and policies until ctx ends, and returns when it knows them.
func New(ctx context.Context, options Options) (*Launcher, error) {
	if err := options.Images.Validate(); err != nil {
		return nil, err
	}
	if options.Clock == nil {
		options.Clock = clock.RealClock{}
	}
	l := &Launcher{
		options: options, notify: func(cache.ObjectName) {},
		fresh: map[string]launcher.Job{}, over: map[string]launcher.Job{},
		forgotten: map[types.UID]bool{}, lost: map[cache.ObjectName]*networkingv1.NetworkPolicy{}, bound: map[cache.ObjectName]boundPod{},
	}
	l.records = loop.New("pod-records", recordWorkers, options.Clock, l.syncRecord)
	if err := l.watch(ctx); err != nil {
		return nil, err
	}
	return l, nil
}

// Notify has changed called for each model whose jobs change.
func (l *Launcher) Notify(changed func(model cache.ObjectName)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.notify = changed
}

func (l *Launcher) changed(model cache.ObjectName) {
	l.mu.Lock()
	notify := l.notify
	l.mu.Unlock()
	notify(model)
}

// Revision names the image and the gateway's authority.
func (l *Launcher) Revision(spec launcher.JobSpec) (string, error) {
	image, err := l.options.Images.resolve(spec.Image)
	if err != nil {
		return "", err
	}
	ca := l.options.GatewayCA()
	if len(ca) == 0 {
		return "", errors.New("the gateway's certificate authority is not known yet")
	}
	return material(image, ca), nil
}

// Launch closes the model's pods in and creates the Job.
func (l *Launcher) Launch(ctx context.Context, what launcher.Job) error {
	image, err := l.options.Images.resolve(what.Spec.Image)
	if err != nil {
		return err
	}
	if err := l.ensurePolicy(ctx, l.options.Network.networkPolicy(what.Spec), what.Spec.Model); err != nil {
		return l.explain(what.Spec, "NetworkPolicy of its jobs", err)
	}
	what.StartTime = l.options.Clock.Now()
	job := template{l.options.GatewayAddress, l.options.GatewayCA()}.job(what, image)
	l.mu.Lock()
	l.fresh[what.Name] = what
	l.mu.Unlock()
	_, err = l.options.Client.BatchV1().Jobs(job.Namespace).Create(ctx, job, metav1.CreateOptions{FieldManager: fieldManager})
	if err == nil || apierrors.IsAlreadyExists(err) {
		return nil // Launch is idempotent by name, and names are not given twice
	}
	l.mu.Lock()
	delete(l.fresh, what.Name)
	l.mu.Unlock()
	return l.explain(what.Spec, "Job", err)
}

// explain makes a refused write one that somebody can act on.
func (l *Launcher) explain(spec launcher.JobSpec, what string, err error) error {
	if apierrors.IsForbidden(err) && !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return &launcher.Refusal{
			Reason:  ReasonNamespaceClosed,
			Message: fmt.Sprintf("the controller may not make the %s; if namespace %q is not open to jobs yet, run: "+l.options.OpenCommand+" (%v)", what, spec.Namespace, spec.Namespace, err),
		}
	}
	return fmt.Errorf("making the %s of model %s/%s: %w", what, spec.Namespace, spec.Model, err)
}

// Stop deletes the Job in the foreground: it stays, as one that is stopping,
// until its pod has finished its turns.
func (l *Launcher) Stop(ctx context.Context, name string) error {
	namespace, uid, ok := l.find(name)
	if !ok {
		return nil
	}
	options := metav1.DeleteOptions{PropagationPolicy: ptr.To(metav1.DeletePropagationForeground)}
	if uid != "" {
		options.Preconditions = metav1.NewUIDPreconditions(string(uid))
	}
	err := l.options.Client.BatchV1().Jobs(namespace).Delete(ctx, name, options)
	if apierrors.IsNotFound(err) {
		err = nil
	}
	return err
}

// find returns where a job that is not over is.
func (l *Launcher) find(name string) (namespace string, uid types.UID, ok bool) {
	if found, err := l.jobs.GetIndexer().ByIndex(indexName, name); err == nil && len(found) > 0 {
		job := found[0].(*batchv1.Job)
		return job.Namespace, job.UID, job.DeletionTimestamp == nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	what, ok := l.fresh[name]
	return what.Spec.Namespace, "", ok
}

// Forget drops an exited job from the list. The Job itself leaves by its TTL.
func (l *Launcher) Forget(_ context.Context, name string) error {
	found, err := l.jobs.GetIndexer().ByIndex(indexName, name)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.over, name)
	for _, obj := range found {
		l.forgotten[obj.(*batchv1.Job).UID] = true
	}
	return nil
}

// Models are those that there are jobs of.
func (l *Launcher) Models() []cache.ObjectName {
	var models []cache.ObjectName
	for _, value := range l.jobs.GetIndexer().ListIndexFuncValues(indexModel) {
		if model, err := cache.ParseObjectName(value); err == nil {
			models = append(models, model)
		}
	}
	return models
}

// List gives the jobs of a model, the oldest first.
func (l *Launcher) List(model cache.ObjectName) []launcher.Job {
	found, err := l.jobs.GetIndexer().ByIndex(indexModel, model.String())
	if err != nil {
		panic(err) // the index is missing: a mistake in this program
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var jobs []launcher.Job
	seen := map[string]bool{}
	for _, obj := range found {
		job := obj.(*batchv1.Job)
		seen[job.Name] = true
		what, err := launched(job)
		if err != nil || l.forgotten[job.UID] {
			continue // launched is an error of the watch's handler
		}
		if over, ok := l.over[job.Name]; ok {
			what.Exit = over.Exit
		} else if !what.Stopping {
			what.Exit = exitOf(job, l.podsOf(job))
		}
		l.replaceIfStale(&what, job)
		jobs = append(jobs, what)
	}
	for name, what := range l.fresh {
		if modelOf(what.Spec) != model || seen[name] {
			continue
		}
		if l.options.Clock.Since(what.StartTime) > unseen {
			delete(l.fresh, name)
			continue
		}
		jobs = append(jobs, what)
	}
	for name, what := range l.over {
		if modelOf(what.Spec) == model && !seen[name] {
			jobs = append(jobs, what)
		}
	}
	slices.SortFunc(jobs, func(a, b launcher.Job) int { return a.StartTime.Compare(b.StartTime) })
	return jobs
}

// replaceIfStale makes the spec of a job differ from what its model asks for
// now if it was made of another image or authority than it would be today.
func (l *Launcher) replaceIfStale(what *launcher.Job, job *batchv1.Job) {
	made := job.Annotations[annotationMaterial]
	if now, err := l.Revision(what.Spec); err == nil && now != made {
		what.Spec.Image += "@" + made
	}
}

func (l *Launcher) podsOf(job *batchv1.Job) []*corev1.Pod {
	found, err := l.pods.GetIndexer().ByIndex(indexOwner, string(job.UID))
	if err != nil {
		panic(err) // the index is missing: a mistake in this program
	}
	pods := make([]*corev1.Pod, 0, len(found))
	for _, obj := range found {
		pods = append(pods, obj.(*corev1.Pod))
	}
	return pods
}

// Run keeps the records of pods and looks after pods that do not start, until
// ctx ends. Jobs go on.
func (l *Launcher) Run(ctx context.Context) error {
	var tasks sync.WaitGroup
	tasks.Go(func() { l.lookAfterPending(ctx) })
	tasks.Go(func() { l.dropStaleRecords(ctx) })
	err := l.records.Run(ctx)
	tasks.Wait()
	return err
}

// Wait waits for the watches that New started; its context must have ended.
func (l *Launcher) Wait() { l.informers.Wait() }

// lookAfterPending gives pods up that will not start.
func (l *Launcher) lookAfterPending(ctx context.Context) {
	ticker := l.options.Clock.NewTicker(lookPeriod)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C():
		}
		for _, obj := range l.pods.GetStore().List() {
			pod := obj.(*corev1.Pod)
			if pod.Status.Phase == corev1.PodPending && pod.DeletionTimestamp == nil {
				l.lookAfter(ctx, pod)
			}
		}
	}
}

func (l *Launcher) lookAfter(ctx context.Context, pod *corev1.Pod) {
	logger := klog.FromContext(ctx)
	job := l.jobOf(pod)
	if job == nil || job.DeletionTimestamp != nil {
		return
	}
	what, err := launched(job)
	if err != nil {
		return
	}
	exit, err := stuck(pod, l.options.Clock.Since(scheduledAt(pod)), func() ([]corev1.Event, error) {
		list, err := l.options.Client.CoreV1().Events(pod.Namespace).List(ctx, metav1.ListOptions{
			FieldSelector: "involvedObject.uid=" + string(pod.UID), ResourceVersion: "0",
		})
		if err != nil {
			return nil, err
		}
		return list.Items, nil
	})
	if err != nil {
		logger.Error(err, "Cannot tell why a pod does not start", "pod", klog.KObj(pod))
		return
	}
	if exit == nil {
		return
	}
	exit.Time = l.options.Clock.Now()
	what.Exit = exit
	l.mu.Lock()
	_, known := l.over[job.Name]
	l.over[job.Name] = what
	l.mu.Unlock()
	if !known {
		logger.Info("Gave a job up whose pod does not start", "job", klog.KObj(job), "reason", exit.Reason, "message", exit.Message)
	}
	if err := l.Stop(ctx, job.Name); err != nil {
		logger.Error(err, "Could not delete a job that does not start, will try again", "job", klog.KObj(job))
	}
	l.changed(modelOf(what.Spec))
}

// scheduledAt is when the pod got its node; now, as it were, if it has none.
func scheduledAt(pod *corev1.Pod) time.Time {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodScheduled && condition.Status == corev1.ConditionTrue {
			return condition.LastTransitionTime.Time
		}
	}
	return time.Now().Add(time.Hour)
}

func modelOf(spec launcher.JobSpec) cache.ObjectName {
	return cache.ObjectName{Namespace: spec.Namespace, Name: spec.Model}
}
