# Needed beforehand: Go, a C compiler, make, and Python 3 with pip (which only
# downloads libtensorflow). Every target does its own set-up.
#
#   GPU=1              use the CUDA build of TensorFlow (.tensorflow-gpu/)
#   TENSORFLOW_ROOT=…  use a libtensorflow that is already installed

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

ROOT := $(CURDIR)
TENSORFLOW := .tensorflow$(if $(GPU),-gpu)
comma := ,

# The bindings' own cgo step needs these, so every go command does. One set for all
# of them: cgo's flags are part of the build cache's key, and a second set would
# compile the bindings twice. $ORIGIN makes bin/galaxy find the library beside it,
# wherever the two are moved; the absolute path serves test binaries, which are
# linked in temporary folders.
#
# For every program a linker reads the whole library, 0.8 GB: ld for 8 s, and gold (which
# binutils has), lld and mold for 2 s. scripts/link-library makes a stand-in without content,
# with which a link takes a tenth of a second.
LINKER := $(if $(filter Linux,$(shell uname -s)),$(firstword $(foreach l,gold lld mold,$(shell $(CC) -fuse-ld=$l -Wl,--version >/dev/null 2>&1 && echo -fuse-ld=$l))))
export CGO_CFLAGS := '-I$(ROOT)/$(TENSORFLOW)/include'
export CGO_LDFLAGS := $(LINKER) '-L$(ROOT)/$(TENSORFLOW)/link' '-L$(ROOT)/$(TENSORFLOW)/lib' -Wl,-rpath,$$ORIGIN/../$(TENSORFLOW)/lib '-Wl,-rpath,$(ROOT)/$(TENSORFLOW)/lib'
ifeq ($(shell uname -s),Darwin)
export CGO_LDFLAGS := '-L$(ROOT)/$(TENSORFLOW)/lib' -ltensorflow_framework -Wl,-rpath,@loader_path/../$(TENSORFLOW)/lib '-Wl,-rpath,$(ROOT)/$(TENSORFLOW)/lib'
endif
export CGO_ENABLED := 1

GOLANGCI := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

.PHONY: demo axe load watch-bench screenshots test test-all race cpus torture parity parity-torch lint build bench serve-bench quality image-check dist dist-check gpu-programs gpu-check gpu-bundle env clean help tensorflow

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' Makefile

demo: build ## synthesise, prepare, train, evaluate, export and evaluate again, into demo/ (KIND=counts, classes or fits: other catalogues)
	scripts/demo $(KIND)

# Two packages at a time, and as many tests of each, whatever the number of cores: so all
# of them take less than 3 GB of memory. Without go vet's checks, which make lint runs.
test: tensorflow ## run the tests, with small networks (4½ minutes)
	go run ./scripts/testreport -vet=off -short -p 2 -parallel 2 -timeout 30m ./...

test-all: tensorflow ## run all tests, and ResNet18 where depth matters, full disks and damaged files (9 minutes)
	go run ./scripts/testreport -vet=off -p 2 -timeout 60m ./...

# The size of the network is TensorFlow's affair: Go's code, in which races are sought, runs alike.
# Packages that start no goroutine run in those of the packages that use them, and so does synth.
# The tests that are left out start none.
race: ALONE = ^Test(Settings|PrintedSettings|CommandOfRun|ManyLines)$$
race: tensorflow ## run the tests of make test under the race detector, of packages that start goroutines
	go run ./scripts/testreport -race -vet=off -short -skip '$(ALONE)' -p 2 -parallel 2 -timeout 30m ./graph ./predict ./savedmodel \
	  $$(grep -rlE --include='*.go' --exclude='*_test.go' '^[[:blank:]]*go [a-z]|\.Go\(' cmd data internal graph predict report serve train | \
	    xargs -n 1 dirname | sort -u | grep -vE '^(data/synth|internal/browsertest)$$' | sed 's|^|./|')

axe: ## fetch axe-core, with which the tests check the accessibility of pages in chromium (needs npm)
	npm install --silent --no-save --no-package-lock --prefix .cache/axe axe-core@4.14.1

watch-bench: build ## measure what the live page costs a run (CACHE=; WATCH=-apart for galaxy watch; 4 minutes of an idle machine)
	go run ./scripts/watchbench $(WATCH) -- --data $(CACHE) --out runs/watch-bench-$$(date +%s) --steps 1000000 $(ARGS)

load: tensorflow ## measure how long chromium takes to load a page (PAGE=report.html; otherwise the tests' example)
	go test ./report/page -run '^$$' -bench Load -benchtime 5x $(if $(PAGE),-args -page $(abspath $(PAGE)))

screenshots: build ## take the pictures of docs/ from the demo's report and its pages (chromium; make demo first)
	go run ./scripts/screenshots

torture: tensorflow ## kill, stop, damage and starve runs of all kinds, at length (Linux; strace, unshare)
	go test ./cmd/galaxy -run '^Test(KilledRun|StopSignals|FlippedBytes|PowerCut|FullDisk|Serve)$$' -v -timeout 3h -args -full -kills 100 -signals 50 -flips 200 -disks 0 -requests 100000

# SHORT=1 does without what takes longest: ResNet101, ResNet34 with AdamW and at 128 px.
# SPEED=1 logs how fast files are read instead, compared with Pillow and astropy.
parity: tensorflow ## compare with TensorFlow's own Python (needs Python 3.10 or newer)
	scripts/python-env .venv-parity parity/requirements.txt
	GALAXY_PYTHON=$(ROOT)/.venv-parity/bin/python go test -tags parity -vet=off -timeout 30m $(if $(SHORT),-short) $(if $(SPEED),-run Speed -v,-skip Speed) ./parity/...

parity-torch: tensorflow ## compare weights and logits with PyTorch's, timm's and torchvision's (Python 3.10 or newer; a download of 3 GB)
	scripts/python-env .venv-torch bench/requirements-torch.txt
	GALAXY_PYTHON=$(ROOT)/.venv-torch/bin/python go test -tags parity,torch -timeout 30m -run '^TestTorch' $(if $(VERBOSE),-v) ./parity

cpus: tensorflow ## run the tests that depend on kernels as on other CPUs, on one core, in 2 GB (Python 3.10 or newer; 10 minutes)
	scripts/python-env .venv-parity parity/requirements.txt
	GALAXY_PYTHON=$(ROOT)/.venv-parity/bin/python scripts/cpus

lint: tensorflow ## gofmt and golangci-lint, go vet among its linters
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "not gofmt'ed: $$unformatted" >&2; exit 1; fi
	go run $(GOLANGCI) run ./...

build: tensorflow ## build bin/galaxy
	go build -o bin/galaxy ./cmd/galaxy

# PEERS=keras,torch measures the training step beside PyTorch too (a download of 3 GB).
bench: PEERS = keras
bench: build ## measure speed and memory beside Keras (PEERS=keras,torch; needs Python 3.10 or newer; an hour)
	scripts/python-env .venv-parity parity/requirements.txt
	$(if $(findstring torch,$(PEERS)),scripts/python-env .venv-torch bench/requirements-torch.txt)
	go run ./bench -peers $(PEERS) -json bench.json $(ARGS)

serve-bench: build ## measure galaxy serve beside galaxy predict and FastAPI with Keras (needs Python 3.10 or newer; 10 minutes)
	scripts/python-env .venv-parity parity/requirements.txt
	go run ./bench -only serve -sizes 64 $(ARGS)

# DATA=FOLDER with Kaggle's files or CACHE=any cache, MINUTES of training a run, SEEDS=1,2,3, SIZE of the
# images, OUT=FOLDER for the results; ABLATE=1 leaves out one ingredient at a time, and
# TEACHER=RUN compares first weights from another run too.
# REACH=0.130,0.111 measures the time to these validation RMSEs instead, with schedules
# of the lengths MINUTES=1,2,4 and an evaluation EVERY 20 steps.
quality: EVERY = 20
quality: ONLY = $(if $(REACH),galaxy-best$(comma)keras-tuned)
quality: OUT = runs/quality$(if $(ABLATE),-ablation)$(if $(REACH),-reach)-$(if $(DATA)$(CACHE),$(notdir $(patsubst %/,%,$(DATA)$(CACHE))),synthetic)
quality: build ## compare what ours and Keras learn in equal time (DATA= or CACHE=, MINUTES=, REACH=; over 2 hours)
	scripts/python-env .venv-parity parity/requirements.txt
	go run ./bench/quality -out $(OUT) $(if $(DATA),-data $(DATA)) $(if $(CACHE),-cache $(CACHE)) $(if $(MINUTES),-minutes $(MINUTES)) \
	  $(if $(SEEDS),-seeds $(SEEDS)) $(if $(SIZE),-size $(SIZE)) $(if $(ABLATE),-ablate) $(if $(TEACHER),-teacher $(TEACHER)) \
	  $(if $(REACH),-reach $(REACH) -eval-every $(EVERY)) $(if $(ONLY),-only $(ONLY))

image-check: ## build the container's two variants without Docker and use them (root, buildah, mmdebstrap; 15 GB of disk)
	scripts/image-check

dist: tensorflow ## make dist/galaxy-….tar.xz, which runs from any folder of any Linux since 2018 (GPU=1: with CUDA)
	scripts/dist $(if $(GPU),--gpu)

dist-check: dist ## use that archive in a bare Debian of an older release (root, mmdebstrap)
	scripts/dist-check

gpu-programs: build
	go test -c -o bin/graph.test ./graph
	go build -o bin/bench ./bench
	go build -o bin/quality ./bench/quality

# GPU_CHECK_CPU=1 rehearses it with the CPU in a GPU's place. scripts/gpu-check has the rest.
gpu-check: ## try what needs a GPU, as much as fits into 12 minutes, into gpu-check.out/ (GPU_CHECK_CPU=1: a rehearsal without one)
	$(MAKE) gpu-programs $(if $(GPU_CHECK_CPU),,GPU=1)
	scripts/gpu-check $(OUT)

gpu-bundle: ## make gpu-bundle/, with which gpu-check runs on a machine without a network (GPU_ARCH=90)
	$(MAKE) gpu-programs GPU=1
	scripts/gpu-bundle

env: tensorflow ## print the variables a shell or an editor needs: eval "$(make -s env)"
	@printf 'export CGO_ENABLED=1 CGO_CFLAGS=%q CGO_LDFLAGS=%q\n' "$$CGO_CFLAGS" "$$CGO_LDFLAGS"

clean: ## remove what was built and the demo's results; downloads stay
	rm -rf bin demo dist gpu-bundle gpu-check.out

tensorflow: # fetch libtensorflow if it is not there yet
	@scripts/fetch-tensorflow $(if $(GPU),--gpu)
	@scripts/link-library $(TENSORFLOW)
