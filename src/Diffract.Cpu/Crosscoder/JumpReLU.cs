using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Cpu.Threads;

namespace Diffract.Cpu.Crosscoder;

/// <summary>
/// The gate of JumpReLU and the way back through it, latent by latent over the pairs, each in double: a few operations a pair beside the products of the encode.
/// </summary>
sealed unsafe class JumpReLU(WorkerPool pool) : IDisposable
{
    const int LatentsPerTask = 64;

    HostBuffer _penalties = new(ElementType.Float64, 16);
    HostBuffer _active = new(ElementType.Int32, 16);

    public void Dispose()
    {
        _penalties.Dispose();
        _active.Dispose();
    }

    public void Gate(SparseCode code, Matrix scale_L, Matrix threshold_L)
    {
        Job job = Prepare(code, scale_L, threshold_L);
        pool.Run((job.Latents + LatentsPerTask - 1) / LatentsPerTask, &Gate, &job);
    }

    public JumpSums Gradient(SparseCode code, Matrix scale_L, Matrix threshold_L, in JumpShape jump, Matrix gThreshold_L, Matrix gScale_L)
    {
        Job job = Prepare(code, scale_L, threshold_L);
        job.Jump = jump;
        job.Gradient = code.PairGradient.Floats;
        job.GThreshold = gThreshold_L.Floats;
        job.GScale = gScale_L.Floats;
        job.Penalties = Scratch.Grow(ref _penalties, job.Latents).Doubles;
        job.Active = Scratch.Grow(ref _active, job.Latents).Ints;
        pool.Run((job.Latents + LatentsPerTask - 1) / LatentsPerTask, &Back, &job);
        long active = 0;
        for (int j = 0; j < job.Latents; j++)
        {
            active += job.Active[j];
        }

        return new JumpSums(active, VirtualShards.Sum(new ReadOnlySpan<double>(job.Penalties, job.Latents), code.ShardSize));
    }

    static Job Prepare(SparseCode code, Matrix scale_L, Matrix threshold_L) => new()
    {
        Latents = code.Latents,
        Start = code.LatentStart.Ints,
        Input = code.PairInput.Floats,
        Value = code.PairValue.Floats,
        Scale = scale_L.Floats,
        Threshold = threshold_L.Floats,
    };

    static void Gate(void* state, int task, int worker)
    {
        Job* job = (Job*)state;
        int end = Math.Min(job->Latents, (task + 1) * LatentsPerTask);
        for (int j = task * LatentsPerTask; j < end; j++)
        {
            float s = job->Scale[j], threshold = job->Threshold[j];
            for (int i = job->Start[j]; i < job->Start[j + 1]; i++)
            {
                float p = job->Value[i];
                job->Input[i] = p;
                job->Value[i] = p * s > threshold ? p : 0;
            }
        }
    }

    static void Back(void* state, int task, int worker)
    {
        Job* job = (Job*)state;
        (double bandwidth, double saturation, double lambda) = (job->Jump.Bandwidth, job->Jump.Saturation, job->Jump.Penalty);
        int end = Math.Min(job->Latents, (task + 1) * LatentsPerTask);
        for (int j = task * LatentsPerTask; j < end; j++)
        {
            double s = job->Scale[j], threshold = job->Threshold[j];
            double gThreshold = 0, gScale = 0, sum = 0;
            int active = 0;
            for (int i = job->Start[j]; i < job->Start[j + 1]; i++)
            {
                double p = job->Input[i], g = job->Gradient[i], q = p * s;
                double bent = Math.Tanh(q / saturation), penalty = saturation * bent;
                double carried = g * p + lambda * penalty;
                double kernel = Math.Abs(q - threshold) < bandwidth / 2 ? 1 / bandwidth : 0;
                double gradient = s * kernel * carried;
                gThreshold -= kernel * carried;
                gScale += p * kernel * carried;
                if (job->Value[i] > 0)
                {
                    double slope = lambda * (1 - bent * bent);
                    gradient += g + s * slope;
                    gScale += p * slope;
                    sum += penalty;
                    active++;
                }

                job->Gradient[i] = (float)gradient;
            }

            job->GThreshold[j] = (float)gThreshold;
            job->GScale[j] = (float)gScale;
            job->Penalties[j] = sum;
            job->Active[j] = active;
        }
    }

    struct Job
    {
        public int Latents;
        public int* Start;
        public float* Input;
        public float* Value;
        public float* Gradient;
        public float* Scale;
        public float* Threshold;
        public float* GThreshold;
        public float* GScale;
        public double* Penalties;
        public int* Active;
        public JumpShape Jump;
    }
}
