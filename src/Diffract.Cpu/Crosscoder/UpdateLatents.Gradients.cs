using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;

namespace Diffract.Cpu.Crosscoder;

/// <summary>
/// The gradients of one latent, from the rows of its active tokens. A latent with so many pairs that one worker would be busy with it while the others wait is summed by all of them first, some columns
/// each. Where a gradient is summed and whether it is kept changes no bit of it: each column is one chain over the pairs.
/// </summary>
sealed unsafe partial class UpdateLatents
{
    /// <summary>A latent with fewer pairs is summed again sooner than its kept gradient is fetched.</summary>
    const int LeastKept = 4;

    /// <summary>A latent is hot if it has this share of what one worker does, ...</summary>
    const int HotShare = 8;

    /// <summary>... and at least so many pairs.</summary>
    const int LeastHot = 64;

    const int ColumnsPerTask = 64;

    /// <summary>Pairs whose rows, with those that they add to, fit a first-level cache at widths of some hundred.</summary>
    const int PairsAtATime = 8;

    HostBuffer _rows = new(ElementType.Float32, 16);
    HostBuffer _kept = new(ElementType.Float32, 16);
    HostBuffer _slots = new(ElementType.Int32, 16);
    HostBuffer _biases = new(ElementType.Float64, 16);
    HostBuffer _hot = new(ElementType.Int32, 16);
    SparseCode? _rememberedCode;
    (nint First, nint Grad, nint Acts, int Pairs) _remembered;

    /// <summary>Gives slots of kept gradients to the hot latents and then to the <paramref name="most"/> latents with the most pairs: -1 for the others.</summary>
    void Assign(Job* job, int most)
    {
        Forget();
        job->Slots = Scratch.Grow(ref _slots, job->Latents).Ints;
        const int Counts = 4096;
        int* histogram = stackalloc int[Counts];
        new Span<int>(histogram, Counts).Clear();
        long total = 0;
        for (int j = 0; j < job->Latents; j++)
        {
            int pairs = Pairs(job, j);
            job->Slots[j] = -1;
            histogram[Math.Min(pairs, Counts - 1)]++;
            total += pairs;
        }

        int hotFrom = pool.Threads == 1 ? int.MaxValue : (int)Math.Max(LeastHot, total / ((long)HotShare * pool.Threads));
        int slots = 0;
        Scratch.Grow(ref _hot, (long)HotShare * pool.Threads + 1);
        int* hot = _hot.Ints;
        for (int j = 0; j < job->Latents; j++)
        {
            if (Pairs(job, j) > hotFrom)
            {
                hot[slots] = j;
                job->Slots[j] = slots++;
            }
        }

        job->Hot = hot;
        job->HotCount = slots;
        int from = Counts - 1, kept = 0;
        while (from >= LeastKept && kept + histogram[from] <= most)
        {
            kept += histogram[from--];
        }

        for (int j = 0; j < job->Latents && slots < job->HotCount + kept; j++)
        {
            if (job->Slots[j] < 0 && Pairs(job, j) > from)
            {
                job->Slots[j] = slots++;
            }
        }

        // Room for the most that can be, so that a warm step does not allocate.
        long rows = most + ((long)HotShare * pool.Threads) + 1;
        job->Kept = Scratch.Grow(ref _kept, rows * 2 * job->Padded).Floats;
        job->Biases = Scratch.Grow(ref _biases, rows).Doubles;
    }

    /// <summary>The kept gradients are those of these terms until the next update.</summary>
    void Remember(ReadOnlySpan<LatentTerm> terms, Matrix acts_BE, bool keep)
    {
        if (keep && terms.Length > 0)
        {
            _rememberedCode = terms[0].Code;
            _remembered = Stamp(terms, acts_BE);
        }
    }

    bool Remembers(ReadOnlySpan<LatentTerm> terms, Matrix acts_BE)
        => _rememberedCode is not null && terms.Length > 0 && ReferenceEquals(_rememberedCode, terms[0].Code) && _remembered == Stamp(terms, acts_BE);

    void Forget() => _rememberedCode = null;

    static (nint First, nint Grad, nint Acts, int Pairs) Stamp(ReadOnlySpan<LatentTerm> terms, Matrix acts_BE)
    {
        int pairs = 0;
        foreach (LatentTerm term in terms)
        {
            pairs += term.Code.Pairs;
        }

        return ((nint)terms[0].Code.PairGradient.Floats, (nint)terms[^1].Grad_BE.Floats, (nint)acts_BE.Floats, pairs);
    }

    static int Pairs(Job* job, int j)
    {
        int pairs = 0;
        for (int t = 0; t < job->TermCount; t++)
        {
            pairs += job->Terms[t].Start[j + 1] - job->Terms[t].Start[j];
        }

        return pairs;
    }

    /// <summary>The sums of the hot latents, by all workers: first the code gradients by pairs, then the rows by columns.</summary>
    void SumHot(Job* job)
    {
        if (job->HotCount > 0)
        {
            job->Parts = 2 * pool.Threads;
            pool.Run(job->HotCount * job->Parts, &HotCodeGradients, job);
            job->Parts = (job->Width + ColumnsPerTask - 1) / ColumnsPerTask;
            pool.Run(job->HotCount * job->Parts, &HotColumns, job);
        }
    }

    static void HotCodeGradients(void* state, int task, int worker)
    {
        Job* job = (Job*)state;
        int j = job->Hot[task / job->Parts], part = task % job->Parts;
        for (int t = 0; t < job->TermCount; t++)
        {
            Term* term = job->Terms + t;
            long first = term->Start[j], count = term->Start[j + 1] - first;
            CodeGradients(job, term, j, (int)(first + count * part / job->Parts), (int)(first + count * (part + 1) / job->Parts));
        }
    }

    static void HotColumns(void* state, int task, int worker)
    {
        Job* job = (Job*)state;
        int slot = task / job->Parts, first = task % job->Parts * ColumnsPerTask;
        float* dec = job->Kept + (nint)slot * 2 * job->Padded + first, enc = dec + job->Padded;
        int columns = Math.Min(ColumnsPerTask, job->Width - first);
        bool begun = false;
        for (int t = 0; t < job->TermCount; t++)
        {
            Term* term = job->Terms + t;
            int j = job->Hot[slot], from = term->Start[j], count = term->Start[j + 1] - from;
            SumColumns(job, term, from, count, dec, enc, first, columns, default, default, ref begun);
        }
    }

    /// <summary>The gradients of latent j; a null row where they are zero throughout.</summary>
    static Gradient Sum(Job* job, int j, int worker)
    {
        int slot = job->Slots[j];
        float* dec = slot >= 0 ? job->Kept + (nint)slot * 2 * job->Padded : job->Rows + (nint)worker * 2 * job->Padded;
        Gradient g = new() { Dec = dec, Enc = dec + job->Padded };
        if (slot >= 0 && job->Ready)
        {
            g.Bias = job->Biases[slot];
            return g;
        }

        if (Pairs(job, j) == 0 && !Pulled(job, j))
        {
            return default;
        }

        bool summed = slot >= 0 && slot < job->HotCount, begun = false;
        for (int t = 0; t < job->TermCount; t++)
        {
            Term* term = job->Terms + t;
            int first = term->Start[j], end = term->Start[j + 1];
            if (!summed)
            {
                SumRows(job, term, j, g.Dec, g.Enc, ref begun);
            }

            for (int i = first; i < end; i++)
            {
                g.Bias += term->Gradient[i];
            }
        }

        if (!summed && !begun)
        {
            new Span<float>(g.Dec, job->Width).Clear();
            new Span<float>(g.Enc, job->Width).Clear();
        }

        Pull(job, j, g.Dec);
        job->Shape.Decoder(j, job->Dec.At(j), g.Dec);
        job->Shape.Encoder(j, g.Enc);
        if (slot >= 0)
        {
            job->Biases[slot] = g.Bias;
        }

        return g;
    }

    /// <summary>γ of some pairs of latent j, where they are not there yet. What is wanted next, the same tokens' activations and the gradients of two pairs on, is fetched meanwhile.</summary>
    static void CodeGradients(Job* job, Term* term, int j, int first, int end)
    {
        if (term->Fresh)
        {
            float* w = job->Dec.At(j);
            float penalty = term->Penalty * job->Scale.Pointer[j];
            int last = term->Start[job->Latents] - 1;
            for (int i = first; i < end; i++)
            {
                int b = term->Token[i], ahead = term->Token[Math.Min(i + 2, last)];
                float dot = RowSums.DotAhead(term->Grad + b * term->GradStride, w, job->Width, job->Acts + b * job->ActsStride, term->Grad + ahead * term->GradStride);
                term->Gradient[i] = dot + penalty;
            }
        }
    }

    /// <summary>
    /// γ, Σ f·grad and Σ γ·acts of latent j over the pairs of one term, a few pairs at a time: their rows are still in the first-level cache when they are read again.
    /// The update, which wants weights and moments next, has them fetched meanwhile.
    /// </summary>
    static void SumRows(Job* job, Term* term, int j, float* dec, float* enc, ref bool begun)
    {
        Fetch decAhead = default, encAhead = default;
        if (job->Squares == null && !begun)
        {
            decAhead = new() { A = job->Dec.At(j), B = job->DecM.At(j), C = job->DecV.At(j) };
            encAhead = new() { A = job->Enc.At(j), B = job->EncM.At(j), C = job->EncV.At(j) };
        }

        int end = term->Start[j + 1];
        for (int first = term->Start[j]; first < end; first += PairsAtATime)
        {
            int count = Math.Min(PairsAtATime, end - first);
            CodeGradients(job, term, j, first, first + count);
            SumColumns(job, term, first, count, dec, enc, 0, job->Width, decAhead, encAhead, ref begun);
        }
    }

    /// <summary>Adds some pairs' f·grad and γ·acts over some columns; the first of a latent begin the sums.</summary>
    static void SumColumns(Job* job, Term* term, int from, int count, float* dec, float* enc, int first, int columns, Fetch decAhead, Fetch encAhead, ref bool begun)
    {
        if (count == 0)
        {
            return;
        }

        if (!begun && term->Active == null)
        {
            RowSums.Set(count, term->Token + from, term->Value + from, term->Grad + first, term->GradStride, columns, dec, decAhead);
            RowSums.Set(count, term->Token + from, term->Gradient + from, job->Acts + first, job->ActsStride, columns, enc, encAhead);
            begun = true;
            return;
        }

        if (!begun)
        {
            new Span<float>(dec, columns).Clear();
            new Span<float>(enc, columns).Clear();
            begun = true;
        }

        if (term->Active == null)
        {
            RowSums.Add(count, term->Token + from, term->Value + from, term->Grad + first, term->GradStride, columns, dec);
        }
        else
        {
            ByModel.Add(count, term->Token + from, term->Value + from, term->Active + from, term->Grad, term->GradStride, job->Offsets, job->Models, first, columns, dec);
        }

        RowSums.Add(count, term->Token + from, term->Gradient + from, job->Acts + first, job->ActsStride, columns, enc);
    }

    /// <summary>The gradient rows of a latent, before clipping.</summary>
    struct Gradient
    {
        public float* Dec;
        public float* Enc;
        public double Bias;
    }
}
