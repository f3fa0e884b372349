package serve

import (
	"fmt"

	"galaxy/savedmodel"
)

// warmUp answers the warm-up requests of the SavedModel in dir, and predicts one black image and a full
// batch of them, so that no client waits for what TensorFlow prepares at the first prediction of a size.
// Requests that do not fit the model, as of another program for pixels in float32, are
// skipped with a notice.
func (s *Server) warmUp(dir string, m *Model) error {
	if err := m.probe(); err != nil {
		return err
	}
	requests, err := savedmodel.Warmups(dir)
	if err != nil {
		return err
	}
	for i, r := range requests {
		sig, err := m.signature(r.GetModelSpec().GetSignatureName())
		var in input
		if err == nil {
			in, err = inputOf(r, sig, m.Shape, s.cfg.MaxItems)
		}
		if err == nil && sig.files {
			in.images = make([]byte, in.n*m.Shape.Bytes())
			for k, file := range in.files {
				if err == nil {
					err = m.decode(in.images[k*m.Shape.Bytes():(k+1)*m.Shape.Bytes()], file, s.cfg.MaxPixels)
				}
			}
		}
		if err != nil {
			s.notice("%s: warm-up request %d is skipped: %s", dir, i, message(err))
			continue
		}
		if _, err := m.predict(in.images); err != nil {
			return fmt.Errorf("request %d: %w", i, err)
		}
	}
	if _, err := m.predict(make([]byte, s.cfg.MaxBatch*m.Shape.Bytes())); err != nil {
		return fmt.Errorf("a batch of %d black images: %w", s.cfg.MaxBatch, err)
	}
	return nil
}
