package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"time"

	"galaxy/graph/network"
	"galaxy/graph/session"
	"galaxy/internal/durable"
	"galaxy/internal/kernels"
	"galaxy/train/checkpoint"
)

// chooseFilterAlgorithms decides how the gradients of kernels are computed: as when the run
// started, as remembered on this machine, or else by a measurement, which it stores in the user's
// cache folder. If nothing were stored, two runs of one seed could differ in their last bits.
func (p *setup) chooseFilterAlgorithms() error {
	layers, err := p.trainerConfig(p.Config.Batch).FilterLayers()
	if err != nil || !slices.ContainsFunc(layers, func(l network.FilterLayer) bool { return p.Config.FilterAlgorithms[l.String()] == "" }) {
		return err // nil: there is nothing to choose
	}
	m, err := openKernels(p.session().Threads, p.Notice)
	if err != nil {
		p.Notice(fmt.Sprintf("the fastest kernels are measured for this run alone: %v", err))
	}
	known := network.FilterAlgorithms{}
	maps.Copy(known, m.known)
	maps.Copy(known, p.Config.FilterAlgorithms)
	chosen, measured := network.FilterAlgorithms{}, false
	for _, l := range layers {
		if chosen[l.String()] != "" {
			continue // chosen for another layer of this shape
		}
		kernel := known[l.String()]
		if !slices.Contains(l.Algorithms(), kernel) {
			if kernel, err = l.Fastest(p.session()); err != nil {
				return errors.Join(err, m.close(nil))
			}
			measured = true
		}
		chosen[l.String()] = kernel
	}
	p.Config.FilterAlgorithms = chosen
	if !measured {
		chosen = nil
	}
	if err := m.close(chosen); err != nil {
		p.Notice(fmt.Sprintf("the fastest kernels could not be remembered for other runs: %v", err))
	}
	return nil
}

// kernelMemory is the file in the user's cache folder that stores algorithms by machine,
// locked against other processes that measure at the same time.
type kernelMemory struct {
	path, machine string
	all           map[string]json.RawMessage // of network.FilterAlgorithms
	known         network.FilterAlgorithms
	locked        *os.File
}

// kernelPatience is how long to wait for another process that measures.
const kernelPatience = 10 * time.Second

// openKernels opens the memory. It drops unreadable entries, with a notice. On an
// error the result is empty and stores nothing.
func openKernels(threads int, notice func(string)) (m kernelMemory, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return m, err
	}
	dir := filepath.Join(cache, "galaxy")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return m, err
	}
	for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		locked, err := durable.Lock(filepath.Join(dir, "kernels.lock"), notice)
		if err == nil {
			m.locked = locked
			break
		}
		if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
			break // the stored entries may still be read
		}
		if !errors.Is(err, durable.ErrLocked) || time.Since(begin) > kernelPatience {
			return m, err
		}
	}
	m.path, m.machine = filepath.Join(dir, "kernels.json"), machine(threads)
	raw, err := durable.ReadFile(m.path, durable.MaxText)
	if durable.Unread(err) {
		return kernelMemory{}, errors.Join(err, m.unlock()) // the stored entries exist
	}
	if err == nil {
		err = json.Unmarshal(raw, &m.all)
	}
	if known, ok := m.all[m.machine]; ok && err == nil {
		err = json.Unmarshal(known, &m.known)
	}
	if m.all == nil {
		m.all = map[string]json.RawMessage{}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		notice(fmt.Sprintf("what was remembered of the fastest kernels could not be read and is forgotten: %v", err))
	}
	return m, nil
}

// close stores the new measurements.
func (m kernelMemory) close(fresh network.FilterAlgorithms) error {
	var err error
	if m.path != "" && len(fresh) > 0 {
		known := network.FilterAlgorithms{}
		maps.Copy(known, m.known)
		maps.Copy(known, fresh)
		var raw []byte
		if m.all[m.machine], err = json.Marshal(known); err == nil {
			raw, err = json.MarshalIndent(m.all, "", "  ")
		}
		if err == nil {
			err = durable.WriteFile(m.path, append(raw, '\n'))
		}
	}
	return errors.Join(err, m.unlock())
}

func (m kernelMemory) unlock() error {
	if m.locked == nil {
		return nil
	}
	return m.locked.Close()
}

// machine describes everything that the fastest algorithms and the last bits of a sum
// depend on.
func machine(threads int) string {
	if threads == 0 {
		threads = runtime.NumCPU()
	}
	return fmt.Sprintf("TensorFlow %s, %s", session.TensorFlowVersion(), kernels.Machine(threads))
}

// noticeMachine reports which guarantees are lost if the run started, or its checkpoint
// was computed, on another machine.
func (p *setup) noticeMachine(last *checkpoint.Checkpoint) {
	now := p.machine
	differs := func(was string) bool { return was != "" && was != now && !session.IsGPU(p.devices[0]) }
	switch {
	case differs(p.Config.Machine):
		p.Notice(fmt.Sprintf("the run began on other kernels or another CPU (%s; here: %s): it goes on, but not to the same bits as if it had stayed there", p.Config.Machine, now))
	case last != nil && differs(last.State.Machine):
		p.Notice(fmt.Sprintf("the last checkpoint was computed on other kernels or another CPU (%s; here: %s): the run goes on, but not to the same bits as if it had been on one all along", last.State.Machine, now))
	}
}
