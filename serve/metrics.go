package serve

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"google.golang.org/grpc/codes"
)

// metrics are what /metrics shows.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec   // by api, method and code
	latency  *prometheus.HistogramVec // seconds, by api and method
	images   *prometheus.CounterVec   // by result
	loads    *prometheus.CounterVec   // of versions, by result
	sizes    prometheus.Histogram     // of batches, images
	times    prometheus.Histogram     // of batches, seconds
}

func newMetrics(s *Server) *metrics {
	times := prometheus.ExponentialBuckets(0.001, 2, 15) // 1 ms to 16 s
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "galaxy_requests_total", Help: "Requests, by API, method and gRPC code."}, []string{"api", "method", "code"}),
		latency:  prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "galaxy_request_seconds", Help: "Time from the arrival of a request to its answer.", Buckets: times}, []string{"api", "method"}),
		images:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "galaxy_images_total", Help: "Images of requests: good, or broken files."}, []string{"result"}),
		loads:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "galaxy_model_loads_total", Help: "Versions of the model that were loaded, or failed to load."}, []string{"result"}),
		sizes:    prometheus.NewHistogram(prometheus.HistogramOpts{Name: "galaxy_batch_images", Help: "Images of a batch.", Buckets: prometheus.ExponentialBuckets(1, 2, 10)}),
		times:    prometheus.NewHistogram(prometheus.HistogramOpts{Name: "galaxy_batch_seconds", Help: "Time of the network for a batch.", Buckets: times}),
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	m.registry.MustRegister(m.requests, m.latency, m.images, m.loads, m.sizes, m.times,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		gauge("galaxy_queue_images", "Images that are decoded, wait or are predicted.", func() float64 { return float64(s.queued.Load()) }),
		gauge("galaxy_body_bytes", "Bytes of requests that are held in memory.", func() float64 { return float64(s.bodies.Load()) }),
		gauge("galaxy_model_version", "The version of the model in use, 0 for none.", func() float64 { return float64(s.Version()) }),
	)
	return m
}

// batch counts a batch.
func (m *metrics) batch(images int, took time.Duration) {
	m.sizes.Observe(float64(images))
	m.times.Observe(took.Seconds())
}

// answered counts a request that ended with err.
func (m *metrics) answered(api, method string, begin time.Time, err error) {
	code := codes.OK
	if err != nil {
		code = statusOf(err).Code()
	}
	m.requests.WithLabelValues(api, method, code.String()).Inc()
	m.latency.WithLabelValues(api, method).Observe(time.Since(begin).Seconds())
}
