using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Cpu.Threads;

namespace Diffract.Cpu.Crosscoder;

/// <summary>
/// One visit per latent: both weight gradients are summed in the first-level cache from the rows of its active tokens and used at once, so that no gradient matrix exists.
/// The clip norm needs all gradients before the first update: it sums them once more, which costs less than to keep them.
/// </summary>
sealed unsafe partial class UpdateLatents(WorkerPool pool) : IDisposable
{
    const int LatentsPerTask = 16;

    HostBuffer _rows = new(ElementType.Float32, 16);
    HostBuffer _squares = new(ElementType.Float64, 16);

    public void Dispose()
    {
        _rows.Dispose();
        _squares.Dispose();
    }

    /// <summary>Σ of the squares of all gradients, in double: by virtual shard in the order of its latents, the shards by their tree.</summary>
    public double GradientSquares(ReadOnlySpan<LatentTerm> terms, Matrix acts_BE, in LatentParameters parameters)
    {
        int latents = parameters.WEnc_LE.Rows;
        Scratch.Grow(ref _squares, latents);

        Term* pointers = stackalloc Term[terms.Length];
        fixed (int* offsets = parameters.ModelOffsets)
        {
            Job job = Prepare(terms, pointers, acts_BE, parameters, offsets);
            job.Squares = _squares.Doubles;
            pool.Run((latents + LatentsPerTask - 1) / LatentsPerTask, &Square, &job);
        }

        return VirtualShards.Sum(new ReadOnlySpan<double>(_squares.Doubles, latents), terms.Length == 0 ? VirtualShards.Size(latents) : terms[0].Code.ShardSize);
    }

    public void Update(ReadOnlySpan<LatentTerm> terms, Matrix acts_BE, in LatentParameters parameters, in AdamStep adam)
    {
        Term* pointers = stackalloc Term[terms.Length];
        fixed (int* offsets = parameters.ModelOffsets)
        {
            Job job = Prepare(terms, pointers, acts_BE, parameters, offsets);
            job.Adam = new Adam(adam);
            pool.Run((job.Latents + LatentsPerTask - 1) / LatentsPerTask, &Move, &job);
        }
    }

    /// <summary>Writes the decoder norms and s from wDec alone.</summary>
    public void Norms(in LatentParameters parameters)
    {
        fixed (int* offsets = parameters.ModelOffsets)
        {
            Job job = Prepare([], null, default, parameters, offsets);
            pool.Run((job.Latents + LatentsPerTask - 1) / LatentsPerTask, &Measure, &job);
        }
    }

    Job Prepare(ReadOnlySpan<LatentTerm> terms, Term* pointers, Matrix acts_BE, in LatentParameters p, int* offsets)
    {
        int width = p.WDec_LE.Columns;
        int padded = (width + 15) / 16 * 16;
        Scratch.Grow(ref _rows, 2L * padded * pool.Threads);

        for (int i = 0; i < terms.Length; i++)
        {
            SparseCode code = terms[i].Code;
            pointers[i] = new Term
            {
                Start = code.LatentStart.Ints,
                Token = code.PairToken.Ints,
                Value = code.PairValue.Floats,
                Gradient = code.PairGradient.Floats,
                Active = code.ModelOffsets is null ? null : code.PairModels!.Ints,
                Grad = terms[i].Grad_BE.Floats,
                GradStride = terms[i].Grad_BE.Stride,
            };
        }

        return new Job
        {
            Terms = pointers,
            TermCount = terms.Length,
            Acts = terms.Length == 0 ? null : acts_BE.Floats,
            ActsStride = acts_BE.Stride,
            Latents = p.WDec_LE.Rows,
            Width = width,
            Padded = padded,
            Rows = _rows.Floats,
            Offsets = offsets,
            Models = p.ModelOffsets.Length - 1,
            CodeNorm = p.CodeNorm,
            Shape = new GradientShape(p, offsets),
            Enc = Rows.Of(p.WEnc_LE),
            EncM = Rows.Of(p.EncM_LE),
            EncV = Rows.Of(p.EncV_LE),
            Dec = Rows.Of(p.WDec_LE),
            DecM = Rows.Of(p.DecM_LE),
            DecV = Rows.Of(p.DecV_LE),
            Bias = Rows.Of(p.BEnc_L),
            BiasM = Rows.Of(p.BiasM_L),
            BiasV = Rows.Of(p.BiasV_L),
            Norms = Rows.Of(p.Norms_LM),
            Scale = Rows.Of(p.Scale_L),
            PullRows = p.Pull_LM is { } pull ? Rows.Of(pull) : default,
        };
    }

    static void Square(void* state, int task, int worker)
    {
        Job* job = (Job*)state;
        float* gDec = job->Rows + (nint)worker * 2 * job->Padded;
        float* gEnc = gDec + job->Padded;
        int end = Math.Min(job->Latents, (task + 1) * LatentsPerTask);
        for (int j = task * LatentsPerTask; j < end; j++)
        {
            bool any = Gradients(job, j, gDec, gEnc, out double gBias);
            job->Squares[j] = any ? RowSums.Squares(gDec, job->Width) + RowSums.Squares(gEnc, job->Width) + gBias * gBias : 0;
        }
    }

    static void Move(void* state, int task, int worker)
    {
        Job* job = (Job*)state;
        float* gDec = job->Rows + (nint)worker * 2 * job->Padded;
        float* gEnc = gDec + job->Padded;
        int end = Math.Min(job->Latents, (task + 1) * LatentsPerTask);
        for (int j = task * LatentsPerTask; j < end; j++)
        {
            bool any = Gradients(job, j, gDec, gEnc, out double gBias);
            job->Adam.Row(job->Enc.At(j), any ? gEnc : null, job->EncM.At(j), job->EncV.At(j), job->Width);
            job->Adam.Row(job->Dec.At(j), any ? gDec : null, job->DecM.At(j), job->DecV.At(j), job->Width);
            job->Shape.Renormalise(job->Dec.At(j));
            job->Adam.Single(job->Bias.Pointer + j, (float)gBias, job->BiasM.Pointer + j, job->BiasV.Pointer + j);
            Measure(job, j);
        }
    }

    static void Measure(void* state, int task, int worker)
    {
        Job* job = (Job*)state;
        int end = Math.Min(job->Latents, (task + 1) * LatentsPerTask);
        for (int j = task * LatentsPerTask; j < end; j++)
        {
            Measure(job, j);
        }
    }

    static void Measure(Job* job, int j)
    {
        double sum = 0, squares = 0;
        for (int m = 0; m < job->Models; m++)
        {
            int first = job->Offsets[m];
            double square = RowSums.Squares(job->Dec.At(j) + first, job->Offsets[m + 1] - first);
            double norm = Math.Sqrt(square);
            job->Norms.At(j)[m] = (float)norm;
            sum += norm;
            squares += square;
        }

        job->Scale.Pointer[j] = (float)job->CodeNorm.Scale(sum, squares);
    }

    /// <summary>The gradients of latent j, all terms; false when they are zero throughout and were not written.</summary>
    static bool Gradients(Job* job, int j, float* gDec, float* gEnc, out double gBias)
    {
        gBias = 0;
        int pairs = 0;
        for (int t = 0; t < job->TermCount; t++)
        {
            pairs += job->Terms[t].Start[j + 1] - job->Terms[t].Start[j];
        }

        if (pairs == 0 && !Pulled(job, j))
        {
            return false;
        }

        new Span<float>(gDec, job->Width).Clear();
        new Span<float>(gEnc, job->Width).Clear();
        for (int t = 0; t < job->TermCount; t++)
        {
            Term* term = job->Terms + t;
            int first = term->Start[j], count = term->Start[j + 1] - first;
            if (count > 0)
            {
                if (term->Active == null)
                {
                    RowSums.Add(count, term->Token + first, term->Value + first, term->Grad, term->GradStride, job->Width, gDec);
                }
                else
                {
                    ByModel.Add(count, term->Token + first, term->Value + first, term->Active + first, term->Grad, term->GradStride, job->Offsets, job->Models, gDec);
                }

                RowSums.Add(count, term->Token + first, term->Gradient + first, job->Acts, job->ActsStride, job->Width, gEnc);
                for (int i = first; i < first + count; i++)
                {
                    gBias += term->Gradient[i];
                }
            }
        }

        Pull(job, j, gDec);
        job->Shape.Decoder(j, job->Dec.At(j), gDec);
        job->Shape.Encoder(j, gEnc);
        return true;
    }

    static bool Pulled(Job* job, int j)
    {
        if (job->PullRows.Pointer != null)
        {
            for (int m = 0; m < job->Models; m++)
            {
                if (job->PullRows.At(j)[m] != 0)
                {
                    return true;
                }
            }
        }

        return false;
    }

    static void Pull(Job* job, int j, float* gDec)
    {
        if (!Pulled(job, j))
        {
            return;
        }

        for (int m = 0; m < job->Models; m++)
        {
            int first = job->Offsets[m], width = job->Offsets[m + 1] - first;
            float* d = job->Dec.At(j) + first;
            double norm = Math.Sqrt(RowSums.Squares(d, width));
            if (norm > 0)
            {
                float factor = (float)(job->PullRows.At(j)[m] / norm);
                for (int c = 0; c < width; c++)
                {
                    gDec[first + c] = float.MultiplyAddEstimate(factor, d[c], gDec[first + c]);
                }
            }
        }
    }

    readonly struct Rows(float* pointer, nint stride)
    {
        public readonly float* Pointer = pointer;
        readonly nint _stride = stride;

        public static Rows Of(Matrix matrix) => matrix.Buffer is null ? default : new(matrix.Floats, matrix.Stride);

        public float* At(int row) => Pointer + row * _stride;
    }

    struct Term
    {
        public int* Start;
        public int* Token;
        public float* Value;
        public float* Gradient;
        public int* Active;
        public float* Grad;
        public nint GradStride;
    }

    struct Job
    {
        public Term* Terms;
        public int TermCount;
        public float* Acts;
        public nint ActsStride;
        public int Latents;
        public int Width;
        public int Padded;
        public float* Rows;
        public int* Offsets;
        public int Models;
        public CodeNorm CodeNorm;
        public GradientShape Shape;
        public Rows Enc, EncM, EncV, Dec, DecM, DecV, Bias, BiasM, BiasV, Norms, Scale, PullRows;
        public double* Squares;
        public Adam Adam;
    }
}
