// The chain as an operator of OpenVINO: edgewise::SparseChain. Compiled against the headers of the installed
// OpenVINO; the kernels are in libedgewise_kernels beside it. From C++: core.add_extension("libedgewise_openvino.so").
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <openvino/core/extension.hpp>
#include <openvino/core/op_extension.hpp>
#include <openvino/frontend/onnx/extension/op.hpp>
#include <openvino/op/op.hpp>
#include <tbb/task_arena.h>
#include <tbb/task_group.h>

#include "edgewise_kernels.h"

namespace {

// Further threads come from OpenVINO's own: the arena that the operator is called in.
struct ArenaHost {
  tbb::task_group group;
  ew_host host;

  ArenaHost() {
    host.context = this;
    host.threads = tbb::this_task_arena::max_concurrency();
    host.start = [](void *context, void (*help)(void *), void *arg, int count) {
      for (int i = 0; i < count; i++) static_cast<ArenaHost *>(context)->group.run([=] { help(arg); });
    };
    host.join = [](void *context) { static_cast<ArenaHost *>(context)->group.wait(); };
  }
};

// Packed weights, shared by all copies of an operator.
struct Packed {
  std::mutex mutex;
  ew_chain *chain = nullptr;
  std::vector<const void *> from;  // the constants that were packed
  ~Packed() {
    if (chain) ew_chain_destroy(chain);
  }
};

}  // namespace

class SparseChain : public ov::op::Op {
 public:
  OPENVINO_OP("SparseChain", "edgewise");

  SparseChain() = default;
  SparseChain(const ov::OutputVector &inputs, std::vector<int64_t> program) : Op(inputs), program_(std::move(program)) {
    constructor_validate_and_infer_types();
  }

  // Inputs: the map (NCHW), then weights and biases of every convolution, all weights first.
  void validate_and_infer_types() override {
    const auto shape = get_input_partial_shape(0);
    OPENVINO_ASSERT(shape.rank().is_static() && shape.size() == 4, "the input of a SparseChain must have 4 axes");
    OPENVINO_ASSERT(program_.size() > EW_HEAD_INTS, "a SparseChain must have a program");
    for (int axis = 1; axis < 4; axis++)
      OPENVINO_ASSERT(shape[axis].compatible(program_[axis]), "the input of a SparseChain must have the shape it was exported with");
    const std::vector<int32_t> program(program_.begin(), program_.end());
    int32_t out[3];
    OPENVINO_ASSERT(!ew_program_shape(program.data(), static_cast<int>(program.size()), out), "the program of a SparseChain must be whole");
    set_output_type(0, ov::element::f32, ov::PartialShape{shape[0], out[0], out[1], out[2]});
  }

  std::shared_ptr<ov::Node> clone_with_new_inputs(const ov::OutputVector &inputs) const override {
    auto copy = std::make_shared<SparseChain>(inputs, program_);
    copy->packed_ = packed_;
    return copy;
  }

  bool visit_attributes(ov::AttributeVisitor &visitor) override {
    visitor.on_attribute("program", program_);
    return true;
  }

  bool has_evaluate() const override { return true; }

  bool evaluate(ov::TensorVector &outputs, const ov::TensorVector &inputs) const override {
    const int batch = static_cast<int>(inputs[0].get_shape()[0]);
    ArenaHost arena;
    ew_chain *chain = packed(inputs, batch, &arena.host);
    int32_t out[3];
    ew_chain_shape(chain, static_cast<int>(program_[EW_HEAD_STEPS]), out);
    outputs[0].set_shape(ov::Shape{inputs[0].get_shape()[0], static_cast<size_t>(out[0]), static_cast<size_t>(out[1]), static_cast<size_t>(out[2])});
    const int failed = ew_chain_run(chain, inputs[0].data<const float>(), outputs[0].data<float>(), batch, &arena.host);
    OPENVINO_ASSERT(!failed, "no memory left for a SparseChain");
    return true;
  }

 private:
  ew_chain *packed(const ov::TensorVector &inputs, int batch, const ew_host *host) const {
    std::lock_guard<std::mutex> hold(packed_->mutex);
    std::vector<const void *> from;
    for (size_t i = 1; i < inputs.size(); i++) from.push_back(inputs[i].data());
    if (packed_->chain && packed_->from == from) return packed_->chain;
    std::vector<const float *> weights, biases;
    const size_t n = (inputs.size() - 1) / 2;
    for (size_t i = 0; i < n; i++) {
      weights.push_back(inputs[1 + i].data<const float>());
      biases.push_back(inputs[1 + n + i].data<const float>());
    }
    const std::vector<int32_t> program(program_.begin(), program_.end());
    char error[256] = "";
    ew_chain *chain =
        ew_chain_create(program.data(), static_cast<int>(program.size()), weights.data(), biases.data(), nullptr, error, sizeof error);
    OPENVINO_ASSERT(chain, "this SparseChain cannot run: ", error);
    ew_chain_tune(chain, batch, host, 4);
    if (packed_->chain) ew_chain_destroy(packed_->chain);
    packed_->chain = chain;
    packed_->from = std::move(from);
    return chain;
  }

  std::vector<int64_t> program_;
  std::shared_ptr<Packed> packed_ = std::make_shared<Packed>();
};

OPENVINO_CREATE_EXTENSIONS(std::vector<ov::Extension::Ptr>({
    std::make_shared<ov::OpExtension<SparseChain>>(),
    std::make_shared<ov::frontend::onnx::OpExtension<SparseChain>>("SparseChain", "edgewise"),
}));
