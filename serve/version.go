package serve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	pb "github.com/galeone/tensorflow/tensorflow/go/core/protobuf/for_core_protos_go_proto"
	"google.golang.org/grpc/codes"

	"galaxy/internal/tfserving"
	"galaxy/savedmodel"
)

// A version is a version of the model that is or was in use, or that failed to load.
type version struct {
	number int64
	dir    string
	state  tfserving.ModelVersionStatus_State
	err    error // why it is not available
	tried  string

	model    *Model
	batcher  *batcher
	examples []example      // that the page offers
	uses     sync.WaitGroup // requests
}

// versions are the versions of a model, of which one is in use.
type versions struct {
	mu      sync.Mutex
	current *version
	all     []*version // by their number, the highest first, at most shownVersions
	waiting string     // the last notice about a folder that is not complete
	closing sync.WaitGroup
	errs    []error // of closing
}

// shownVersions is how many versions GetModelStatus lists.
const shownVersions = 10

// use returns the version with a number, or the current one for 0. Its model stays open until release is
// called.
func (s *Server) use(number int64) (v *version, release func(), err error) {
	s.versions.mu.Lock()
	defer s.versions.mu.Unlock()
	v = s.versions.current
	if v == nil {
		return nil, nil, fail(codes.Unavailable, "no version of the model is loaded")
	}
	if number != 0 && number != v.number {
		return nil, nil, fail(codes.NotFound, "Servable not found for request: Specific(%s, %d); the version in use is %d", s.cfg.Name, number, v.number)
	}
	v.uses.Add(1)
	return v, v.uses.Done, nil
}

// status returns the states of all versions, or of one if number is not 0.
func (s *Server) status(number int64) (*tfserving.GetModelStatusResponse, error) {
	s.versions.mu.Lock()
	defer s.versions.mu.Unlock()
	answer := new(tfserving.GetModelStatusResponse)
	for _, v := range s.versions.all {
		if number != 0 && number != v.number {
			continue
		}
		state := &tfserving.ModelVersionStatus{Version: v.number, State: v.state, Status: new(tfserving.StatusProto)}
		if v.err != nil {
			state.Status.ErrorCode, state.Status.ErrorMessage = pb.Code_FAILED_PRECONDITION, v.err.Error()
		}
		answer.ModelVersionStatus = append(answer.ModelVersionStatus, state)
	}
	if len(answer.ModelVersionStatus) == 0 {
		return nil, fail(codes.NotFound, "Could not find version %d of model %s", number, s.cfg.Name)
	}
	return answer, nil
}

// follow looks for new versions until ctx ends.
func (s *Server) follow(ctx context.Context) {
	ticker := time.NewTicker(s.cfg.Poll)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			_ = s.versions.refresh(s) // which has reported it
		}
	}
}

// refresh puts the newest version that loads in the place of the current one, unless that is newer. A version that failed
// to load is tried again when its files have changed. The first call tries the newest version alone, and returns its error;
// later ones report errors once and keep the current version.
func (vs *versions) refresh(s *Server) error {
	current := vs.inUse()
	dir, _, err := savedmodel.Newest(s.cfg.Dir)
	if current == nil {
		if err != nil {
			return err
		}
		if err = vs.load(s, dir); err != nil {
			if others := savedmodel.Versions(s.cfg.Dir); len(others) > 1 && others[0] == dir {
				err = fmt.Errorf("%w, or give %s itself", err, others[1])
			}
		}
		return err
	}
	var failed []error // not reported yet
	vs.mu.Lock()
	if incomplete := err; incomplete == nil {
		vs.waiting = ""
	} else if vs.waiting != incomplete.Error() {
		vs.waiting = incomplete.Error()
		failed = append(failed, incomplete)
	}
	vs.mu.Unlock()
	for _, dir := range savedmodel.Versions(s.cfg.Dir) {
		if dir == current.dir {
			break
		}
		if old := vs.find(numberOf(dir)); old != nil && old.err != nil && old.tried == fingerprint(dir) {
			continue
		}
		if err := vs.load(s, dir); err != nil {
			failed = append(failed, err)
			continue
		}
		break
	}
	used := vs.inUse()
	for _, err := range failed {
		if used == current {
			s.notice("%v; version %d stays in use", err, current.number)
		} else {
			s.notice("%v", err)
		}
	}
	if used != current {
		s.notice("version %d is in use, in the place of version %d", used.number, current.number)
		vs.retire(current)
	}
	return errors.Join(failed...)
}

// load loads the version in a folder and makes it the current one.
func (vs *versions) load(s *Server, dir string) (err error) {
	v := &version{number: numberOf(dir), dir: dir, tried: fingerprint(dir), state: tfserving.ModelVersionStatus_LOADING}
	vs.list(v)
	model, err := s.open(v)
	if err != nil {
		err = fmt.Errorf("load version %d, %s: %w", v.number, dir, err)
		vs.mu.Lock()
		v.err, v.state = err, tfserving.ModelVersionStatus_END
		vs.mu.Unlock()
		s.metrics.loads.WithLabelValues("failed").Inc()
		return err
	}
	s.metrics.loads.WithLabelValues("good").Inc()
	vs.mu.Lock()
	v.examples = model.examples(s.cfg.MaxPixels)
	v.model, v.batcher = model, newBatcher(model, s.cfg, s.arriving.Load, s.metrics.batch)
	v.state, vs.current = tfserving.ModelVersionStatus_AVAILABLE, v
	vs.mu.Unlock()
	if model.Warning != "" {
		s.notice("%s: %s", dir, model.Warning)
	}
	return nil
}

// open opens a version's model and runs its warm-up requests.
func (s *Server) open(v *version) (*Model, error) {
	model, err := s.cfg.Open(v.dir)
	if err != nil {
		return nil, err
	}
	if err := s.warmUp(v.dir, model); err != nil {
		return nil, errors.Join(fmt.Errorf("warm-up: %w", err), model.Close())
	}
	return model, nil
}

func (vs *versions) inUse() *version {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	return vs.current
}

func (vs *versions) find(number int64) *version {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	i := slices.IndexFunc(vs.all, func(v *version) bool { return v.number == number })
	if i < 0 {
		return nil
	}
	return vs.all[i]
}

// list adds v to the list of versions, in the place of an earlier try to load it.
func (vs *versions) list(v *version) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	vs.all = slices.DeleteFunc(vs.all, func(o *version) bool { return o.number == v.number })
	vs.all = append(vs.all, v)
	slices.SortFunc(vs.all, func(a, b *version) int { return int(max(-1, min(1, b.number-a.number))) })
	for len(vs.all) > shownVersions {
		oldest := len(vs.all) - 1
		for oldest >= 0 && vs.all[oldest].state != tfserving.ModelVersionStatus_END {
			oldest--
		}
		if oldest < 0 {
			return
		}
		vs.all = slices.Delete(vs.all, oldest, oldest+1)
	}
}

// retire closes a version's model once its requests are answered.
func (vs *versions) retire(v *version) {
	vs.mu.Lock()
	v.state = tfserving.ModelVersionStatus_UNLOADING
	vs.mu.Unlock()
	vs.closing.Go(func() {
		v.uses.Wait()
		v.batcher.close()
		err := v.model.Close()
		vs.mu.Lock()
		v.state = tfserving.ModelVersionStatus_END
		v.model, v.batcher = nil, nil // the version stays in the list
		if err != nil {
			vs.errs = append(vs.errs, fmt.Errorf("close version %d: %w", v.number, err))
		}
		vs.mu.Unlock()
	})
}

// closeAll closes the current version, and waits for the others to be closed.
func (vs *versions) closeAll() error {
	vs.mu.Lock()
	v := vs.current
	vs.current = nil
	vs.mu.Unlock()
	if v != nil {
		vs.retire(v)
	}
	vs.closing.Wait()
	return errors.Join(vs.errs...)
}

// numberOf returns the number of the version in a folder: the folder's name, or 1 if that is no number.
func numberOf(dir string) int64 {
	if n, err := strconv.ParseUint(filepath.Base(dir), 10, 63); err == nil && n > 0 {
		return int64(n)
	}
	return 1
}

// fingerprint describes the files of a folder by names, sizes and times.
func fingerprint(dir string) string {
	var b strings.Builder
	_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			if info, err := entry.Info(); err == nil {
				fmt.Fprintf(&b, "%s %d %d\n", path, info.Size(), info.ModTime().UnixNano())
			}
		}
		return nil // what cannot be read is an error of Open
	})
	return b.String()
}
