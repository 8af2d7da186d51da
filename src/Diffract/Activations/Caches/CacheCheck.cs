using System.Globalization;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Llms;
using Diffract.Runs;
using Diffract.Tokens;

namespace Diffract.Activations.Caches;

/// <summary>Whether models are those behind a cache: some documents go through them, and what comes out is held against the rows.</summary>
static class CacheCheck
{
    const int MostTokens = 1024;

    // Models run in bfloat16 stray from ours by a hundredth of the variance at most; another model's rows have nothing in common.
    const double Least = 0.75;

    /// <summary>The share of each model's variance in the cache that its own output explains.</summary>
    /// <exception cref="DiffractException">It explains little: another checkpoint, layer or tokens.</exception>
    public static double[] Run(StageContext context, TokenStore tokens, CachePair pair, int layer)
    {
        List<TokenDocument> documents = [];
        int total = 0;

        // What of a document was not stored and could not be filled in is missing before its first row.
        foreach (TokenDocument d in tokens.Documents.Where(d => d.Length <= MostTokens && (tokens.SkipFirst == 0 || d.Length > d.Rows)))
        {
            if (total + d.Length > MostTokens)
            {
                break;
            }

            documents.Add(d);
            total += d.Length;
        }

        if (total == 0)
        {
            context.Progress.Warn($"no document of at most {MostTokens} tokens is whole: that the models are those of the cache is not checked");
            return [];
        }

        int[] offsets = ActivationStore.Offsets(pair.Widths);
        CacheSegment[] segments = CacheSegment.Open(pair);
        try
        {
            double[] explained = [.. pair.Models.Select((_, m) => Explained(context, tokens, documents, total, segments, offsets, m, layer))];
            for (int m = 0; m < explained.Length; m++)
            {
                if (!(explained[m] >= Least))
                {
                    throw new DiffractException(string.Create(
                        CultureInfo.InvariantCulture,
                        $"the {(m == 0 ? "base" : "chat")} model {(m == 0 ? tokens.BaseModel : tokens.ChatModel)} is not the one behind {pair.Models[m].Root}: on {documents.Count} documents its output of block {layer} explains {100 * explained[m]:F1}% of the stored rows' variance, wanted nearly all; another checkpoint, layer or order of models"));
                }
            }

            context.Progress.Line(string.Create(CultureInfo.InvariantCulture, $"activations: the models are those of the cache: on {total} tokens their output explains {100 * explained[0]:F3}% (base) and {100 * explained[1]:F3}% (chat) of the rows' variance"));
            return explained;
        }
        finally
        {
            Array.ForEach(segments, s => s.Dispose());
        }
    }

    static double Explained(StageContext context, TokenStore tokens, List<TokenDocument> documents, int total, CacheSegment[] segments, int[] offsets, int model, int layer)
    {
        int width = offsets[model + 1] - offsets[model];
        TokenBatch batch = new(total, documents.Count);
        documents.ForEach(d => batch.Add(tokens.Ids(d, model)));
        using Llm llm = Llm.Load(model == 0 ? tokens.BaseModel : tokens.ChatModel, context.Backend, total, headNeeded: false);
        Matrix resid_TD = context.Backend.Matrix(total, width);
        using IBuffer owner = resid_TD.Buffer;
        llm.RunTo(batch, layer, resid_TD);
        float[] made = new float[total * width], row_E = new float[offsets[^1]];
        context.Backend.Download(resid_TD, made);
        RunningMoments moments = new(width);
        double off = 0;
        for (int i = 0; i < documents.Count; i++)
        {
            TokenDocument d = documents[i];
            ReadOnlySpan<int> positions = tokens.Positions(d, model);
            for (int r = 0; r < d.Rows; r++)
            {
                long row = d.FirstRow + r;
                CacheSegment segment = segments.Last(s => s.FirstRow <= row);
                segment.Read((int)(row - segment.FirstRow), row_E);
                ReadOnlySpan<float> stored = row_E.AsSpan(offsets[model], width), own = made.AsSpan((batch.Spans[i].QueryRow + positions[r]) * width, width);
                for (int c = 0; c < width; c++)
                {
                    double difference = (double)stored[c] - own[c];
                    off += difference * difference;
                }

                moments.Advance(1);
                moments.Add(stored, 0, moments.Count);
            }
        }

        return 1 - (off / moments.Squares.Sum());
    }
}
