"""OpenVINO on the CPU, latency hint; --precision f32 or bf16 (a hint: the line says what was run)."""
import common

o = common.options(onnx="", input="", precision="f32")
import numpy as np
import openvino

load = common.clock()
core = openvino.Core()
request = core.compile_model(o.onnx, "CPU", {
    "INFERENCE_NUM_THREADS": o.threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": o.precision})
ran = request.get_property("INFERENCE_PRECISION_HINT").get_type_name()
infer = request.create_infer_request()
loaded = load.ms()
x = np.load(o.input)


def work():
    return infer.infer([x], share_inputs=True)[request.output(0)]


first = work()
if o.out:
    np.save(o.out, np.asarray(first, np.float32))
common.measure(work, o.runs, loaded, ran=ran)
