// Binding of deformable convolution: parameters and shapes as in stock MXNet 1.9.1, plus `boundary` and `im2col_step`.
#include "../include/deformable_convolution.h"

#include <dmlc/optional.h>
#include <dmlc/parameter.h>

#include "binding.h"

namespace dcn {

constexpr int kNCHW = 1;      // of the layouts below
constexpr int kMost = 32767;  // largest kernel, stride, pad and dilate: their products fit an int

struct ConvParam : public dmlc::Parameter<ConvParam> {
  TShape kernel, stride, dilate, pad;
  int num_filter, num_group, num_deformable_group;
  uint64_t workspace;
  bool no_bias;
  int im2col_step;
  dmlc::optional<int> layout;
  int boundary;
  DMLC_DECLARE_PARAMETER(ConvParam) {
    DMLC_DECLARE_FIELD(kernel).describe("Convolution kernel size: (h, w)");
    DMLC_DECLARE_FIELD(stride)
        .set_default(TShape(0, -1))
        .describe("Convolution stride: (h, w). Defaults to 1 for each dimension.");
    DMLC_DECLARE_FIELD(dilate)
        .set_default(TShape(0, -1))
        .describe("Convolution dilate: (h, w). Defaults to 1 for each dimension.");
    DMLC_DECLARE_FIELD(pad)
        .set_default(TShape(0, -1))
        .describe("Zero pad for convolution: (h, w). Defaults to no padding.");
    DMLC_DECLARE_FIELD(num_filter).set_lower_bound(1).describe("Convolution filter(channel) number");
    DMLC_DECLARE_FIELD(num_group).set_default(1).set_lower_bound(1).describe("Number of group partitions.");
    DMLC_DECLARE_FIELD(num_deformable_group)
        .set_default(1)
        .set_lower_bound(1)
        .describe("Number of deformable group partitions.");
    DMLC_DECLARE_FIELD(workspace).set_default(1024).describe(
        "Accepted and ignored: this implementation needs a few MB.");
    DMLC_DECLARE_FIELD(no_bias).set_default(false).describe("Whether to disable bias parameter.");
    DMLC_DECLARE_FIELD(im2col_step)
        .set_default(64)
        .set_lower_bound(1)
        .describe("Accepted and ignored: any batch size is computed tile by tile.");
    DMLC_DECLARE_FIELD(layout)
        .add_enum("NCW", 0)
        .add_enum("NCHW", kNCHW)
        .add_enum("NCDHW", 2)
        .set_default(dmlc::optional<int>())
        .describe("Set layout for input, output and weight. Only NCHW, the default.");
    DMLC_DECLARE_FIELD(boundary)
        .add_enum("v1", DCN_BOUNDARY_V1)
        .add_enum("v2", DCN_BOUNDARY_V2)
        .set_default(DCN_BOUNDARY_V1)
        .describe(
            "Sampling rule: v1 samples in [0, size) and clamps at the last row (the original), v2 samples in (-1, "
            "size) "
            "with zeros outside (the authors' update of 12/2018).");
  }
};
DMLC_REGISTER_PARAMETER(ConvParam);

// Positions of the arguments; without a mask weight and bias move up by one.
struct ConvArguments {
  bool masked, biased;
  enum { kData, kOffset, kMask };
  int weight() const { return masked ? 3 : 2; }
  int bias() const { return weight() + 1; }
};

class ConvOperator : public Kernel {
 public:
  ConvOperator(const Place& place, const ConvParam& param, int boundary, ConvArguments arguments)
      : Kernel(place), param_(param), boundary_(boundary), arguments_(arguments) {}

  void Forward(const OpContext& context, const Blobs& in, const Requests& request, const Blobs& out,
               const Blobs&) override {
    const dcn_conv_shape shape = conv_shape(in[0].shape_, out[0].shape_);
    const dcn_conv_inputs inputs = conv_inputs(in);
    const size_t bytes = workspace_bytes(shape, false);
    void* scratch = workspace(context, bytes);
    check(cuda_ ? cuda_->conv_forward(&shape, dtype_, cuda_math(), &inputs, out[0].dptr_, request[0], scratch, bytes,
                                      stream(context))
                : dcn_conv_forward(&shape, dtype_, &inputs, out[0].dptr_, request[0], scratch));
  }

  void Backward(const OpContext& context, const Blobs& out_gradient, const Blobs& in, const Blobs&,
                const Requests& request, const Blobs& in_gradient, const Blobs&) override {
    const dcn_conv_shape shape = conv_shape(in[0].shape_, out_gradient[0].shape_);
    const dcn_conv_inputs inputs = conv_inputs(in);
    const dcn_conv_gradients gradients = conv_gradients(in_gradient, request);
    const size_t bytes = workspace_bytes(shape, true);
    void* scratch = workspace(context, bytes);
    check(cuda_ ? cuda_->conv_backward(&shape, dtype_, cuda_math(), &inputs, out_gradient[0].dptr_, &gradients, scratch,
                                       bytes, stream(context))
                : dcn_conv_backward(&shape, dtype_, &inputs, out_gradient[0].dptr_, &gradients, scratch));
  }

 private:
  size_t workspace_bytes(const dcn_conv_shape& shape, bool backward) const {
    return (cuda_ ? cuda_->conv_workspace : dcn_conv_workspace)(&shape, dtype_, backward);
  }

  dcn_conv_shape conv_shape(const TShape& data, const TShape& out) const {
    dcn_conv_shape shape = {};
    shape.batch = data[0];
    shape.channels = data[1];
    shape.height = data[2];
    shape.width = data[3];
    shape.filters = param_.num_filter;
    shape.out_height = out[2];
    shape.out_width = out[3];
    for (int axis = 0; axis < 2; ++axis) {
      shape.kernel[axis] = param_.kernel[axis];
      shape.stride[axis] = param_.stride[axis];
      shape.pad[axis] = param_.pad[axis];
      shape.dilate[axis] = param_.dilate[axis];
    }
    shape.groups = param_.num_group;
    shape.deformable_groups = param_.num_deformable_group;
    shape.boundary = boundary_;
    return shape;
  }

  // In the backward pass the bias is not among the inputs, and not needed.
  dcn_conv_inputs conv_inputs(const Blobs& in) const {
    const bool with_bias = static_cast<int>(in.size()) > arguments_.bias();
    return {in[ConvArguments::kData].dptr_, in[ConvArguments::kOffset].dptr_,
            arguments_.masked ? in[ConvArguments::kMask].dptr_ : nullptr, in[arguments_.weight()].dptr_,
            with_bias ? in[arguments_.bias()].dptr_ : nullptr};
  }

  dcn_conv_gradients conv_gradients(const Blobs& gradient, const Requests& request) const {
    dcn_conv_gradients g = {};
    g.data = gradient[ConvArguments::kData].dptr_;
    g.data_request = request[ConvArguments::kData];
    g.offset = gradient[ConvArguments::kOffset].dptr_;
    g.offset_request = request[ConvArguments::kOffset];
    if (arguments_.masked) {
      g.mask = gradient[ConvArguments::kMask].dptr_;
      g.mask_request = request[ConvArguments::kMask];
    }
    g.weight = gradient[arguments_.weight()].dptr_;
    g.weight_request = request[arguments_.weight()];
    if (arguments_.biased) {
      g.bias = gradient[arguments_.bias()].dptr_;
      g.bias_request = request[arguments_.bias()];
    }
    return g;
  }

  ConvParam param_;
  int boundary_;
  ConvArguments arguments_;
};

// Deformable convolution, with and without a mask.
template <typename Self, bool kMasked>
class ConvProperty : public Property<ConvParam, Self> {
 public:
  using Property<ConvParam, Self>::param;

  void check() {
    fill(&param.stride, 1);
    fill(&param.dilate, 1);
    fill(&param.pad, 0);
    expect_pair("kernel", param.kernel, 1);
    expect_pair("stride", param.stride, 1);
    expect_pair("dilate", param.dilate, 1);
    expect_pair("pad", param.pad, 0);
    if (param.layout.has_value() && param.layout.value() != kNCHW) refuse(Self::name(), "layout must be NCHW");
    expect_divisible("num_filter", param.num_filter, "num_group", param.num_group);
  }

  Names ListArguments() const override {
    Names names = {"data", "offset"};
    if (kMasked) names.push_back("mask");
    names.push_back("weight");
    if (!param.no_bias) names.push_back("bias");
    return names;
  }

  bool InferShape(ShapeVector* in, ShapeVector* out, ShapeVector* aux) const override {
    const TShape data = (*in)[0];
    out->resize(1);
    aux->clear();
    if (!mxnet::ndim_is_known(data)) return false;
    expect_ndim(Self::name(), "data", data, 4);
    if (!mxnet::dim_size_is_known(data, 1)) return false;
    expect_divisible("channels of data", data[1], "num_group", param.num_group);
    expect_divisible("channels of data", data[1], "num_deformable_group", param.num_deformable_group);
    expect_shape(Self::name(), "weight", &(*in)[arguments().weight()], weight_shape(data));
    if (!param.no_bias)
      expect_shape(Self::name(), "bias", &(*in)[arguments().bias()], mshadow::Shape1(param.num_filter));
    expect_shape(Self::name(), "offset", &(*in)[ConvArguments::kOffset], out_shape(data, 2 * planes()));
    if (kMasked) expect_shape(Self::name(), "mask", &(*in)[ConvArguments::kMask], out_shape(data, planes()));
    expect_shape(Self::name(), "output", &(*out)[0], out_shape(data, param.num_filter));
    return mxnet::shape_is_known(data);
  }

  std::vector<int> DeclareBackwardDependency(const std::vector<int>& out_gradient, const std::vector<int>& in,
                                             const std::vector<int>&) const override {
    std::vector<int> needed = {out_gradient[0]};
    needed.insert(needed.end(), in.begin(), in.begin() + arguments().weight() + 1);
    return needed;
  }

  mxnet::Operator* create(const Place& place) const {
    return new ConvOperator(place, param, Self::boundary(param), arguments());
  }

 private:
  ConvArguments arguments() const { return {kMasked, !param.no_bias}; }
  int64_t planes() const { return param.num_deformable_group * param.kernel[0] * param.kernel[1]; }

  static void fill(TShape* pair, int value) {
    if (pair->ndim() == 0) *pair = mshadow::Shape2(value, value);
  }
  static void expect_pair(const char* what, const TShape& pair, int least) {
    if (pair.ndim() != 2) refuse(Self::name(), what, " needs two numbers (h, w), found ", pair);
    for (int axis = 0; axis < 2; ++axis) {
      if (pair[axis] < least || pair[axis] > kMost)
        refuse(Self::name(), what, " must lie in [", least, ", ", kMost, "], found ", pair);
    }
  }
  static void expect_divisible(const char* what, int64_t number, const char* by, int64_t divisor) {
    if (number % divisor) refuse(Self::name(), what, " = ", number, " is not divisible by ", by, " = ", divisor);
  }

  TShape weight_shape(const TShape& data) const {
    return mshadow::Shape4(param.num_filter, data[1] / param.num_group, param.kernel[0], param.kernel[1]);
  }

  // (N, channels, OH, OW), unknown where the data's dimension is.
  TShape out_shape(const TShape& data, int64_t channels) const {
    TShape shape(4, -1);
    shape[0] = data[0];
    shape[1] = channels;
    for (int axis = 0; axis < 2; ++axis) {
      if (!mxnet::dim_size_is_known(data, axis + 2)) continue;
      const int64_t window = param.dilate[axis] * (param.kernel[axis] - 1) + 1,
                    room = data[axis + 2] + 2 * param.pad[axis] - window;
      if (room < 0)
        refuse(Self::name(), "the dilated kernel ", param.kernel, " does not fit into data of shape ", data,
               " padded by ", param.pad);
      shape[axis + 2] = room / param.stride[axis] + 1;
    }
    return shape;
  }
};

class DeformableConvolution : public ConvProperty<DeformableConvolution, false> {
 public:
  static const char* private_name() { return "_contrib_OwnDeformableConvolution"; }
  static const char* name() { return "DeformableConvolution"; }
  static int boundary(const ConvParam& param) { return param.boundary; }
  void check_stock() const {
    if (param.boundary == DCN_BOUNDARY_V2) {
      refuse(name(), "boundary v2 on a GPU needs libdcn_cuda.so; run: python operator_cxx/build_cuda.py");
    }
  }
};

// The modulated form was published with the sampling rule v2 and knows no other.
class ModulatedDeformableConvolution : public ConvProperty<ModulatedDeformableConvolution, true> {
 public:
  static const char* private_name() { return "_contrib_OwnModulatedDeformableConvolution"; }
  static const char* name() { return "ModulatedDeformableConvolution"; }
  static int boundary(const ConvParam&) { return DCN_BOUNDARY_V2; }
  void Init(const Keywords& keywords) override {
    for (const auto& keyword : keywords) {
      if (keyword.first == "boundary" && keyword.second != "v2") {
        refuse(name(), "boundary is always v2 here, found ", keyword.second);
      }
    }
    ConvProperty::Init(keywords);
  }
};

}  // namespace dcn

using OwnDeformableConvolution = dcn::DeformableConvolution;
using OwnModulatedDeformableConvolution = dcn::ModulatedDeformableConvolution;

DCN_BIND(_contrib_OwnDeformableConvolution, _contrib_DeformableConvolution, OwnDeformableConvolution)
DCN_BIND(_contrib_OwnModulatedDeformableConvolution, _contrib_ModulatedDeformableConvolution,
         OwnModulatedDeformableConvolution)
