"""ONNX Runtime, CPU provider, all graph optimisations."""
import common

o = common.options(onnx="", input="")
import numpy as np
import onnxruntime

load = common.clock()
settings = onnxruntime.SessionOptions()
settings.intra_op_num_threads, settings.inter_op_num_threads = o.threads, 1
settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
session = onnxruntime.InferenceSession(o.onnx, settings, providers=["CPUExecutionProvider"])
loaded = load.ms()
feed = {session.get_inputs()[0].name: np.load(o.input)}


def work():
    return session.run(None, feed)[0]


first = work()
if o.out:
    np.save(o.out, first)
common.measure(work, o.runs, loaded)
