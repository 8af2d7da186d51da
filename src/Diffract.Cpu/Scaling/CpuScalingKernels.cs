using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Cpu.Threads;

namespace Diffract.Cpu.Scaling;

/// <summary>The scaling set: checks shapes and gives each worker a few latents at a time.</summary>
public sealed unsafe class CpuScalingKernels(WorkerPool pool) : IScalingKernels
{
    const int LatentsPerTask = 32;

    public void Accumulate(SparseCode code, Matrix acts_BE, Matrix recon_BE, Matrix directions_LD, ReadOnlySpan<int> modelOffsets, HostBuffer sums)
    {
        ScalingShapes.Check(code, acts_BE, recon_BE, directions_LD, modelOffsets, sums);
        Job job = new()
        {
            Latents = code.Latents,
            Models = modelOffsets.Length - 1,
            Start = code.LatentStart.Ints,
            Token = code.PairToken.Ints,
            Value = code.PairValue.Floats,
            Acts = acts_BE.Floats,
            ActsStride = acts_BE.Stride,
            Recon = recon_BE.Floats,
            ReconStride = recon_BE.Stride,
            Directions = directions_LD.Floats,
            DirectionsStride = directions_LD.Stride,
            Width = directions_LD.Columns,
            Sums = sums.Doubles,
        };
        pool.Run((code.Latents + LatentsPerTask - 1) / LatentsPerTask, &Add, &job);
    }

    static void Add(void* state, int task, int worker)
    {
        Job* job = (Job*)state;
        int columns = ScalingShapes.Columns(job->Models);
        int end = Math.Min(job->Latents, (task + 1) * LatentsPerTask);
        for (int j = task * LatentsPerTask; j < end; j++)
        {
            int first = job->Start[j], pairs = job->Start[j + 1] - first;
            ScalingSums.Add(
                job->Acts, job->ActsStride, job->Recon, job->ReconStride, job->Directions + (long)j * job->DirectionsStride, job->Width, job->Models,
                job->Token + first, job->Value + first, pairs, job->Sums + (long)j * columns);
        }
    }

    struct Job
    {
        public int Latents;
        public int Models;
        public int* Start;
        public int* Token;
        public float* Value;
        public float* Acts;
        public int ActsStride;
        public float* Recon;
        public int ReconStride;
        public float* Directions;
        public int DirectionsStride;
        public int Width;
        public double* Sums;
    }
}
