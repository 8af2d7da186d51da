using System.Diagnostics;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Llms;
using Diffract.Runs;

namespace Diffract.Pipeline;

/// <summary>How fast this machine runs a pair of models, measured before there are tokens: what turns hours into tokens.</summary>
static class HarvestRate
{
    const int Most = 2048, Few = 256;
    const int SequenceLength = 128;
    const double LeastSeconds = 0.5;

    /// <summary>Tokens a second through both models up to and with block <paramref name="layer"/>, one model after the other.</summary>
    public static double Measure(string baseModel, string chatModel, LayerPair layer, IBackend backend, CancellationToken stop)
    {
        double secondsPerToken = 0;
        foreach ((string folder, int block) in (ReadOnlySpan<(string, int)>)[(baseModel, layer.Base), (chatModel, layer.Chat)])
        {
            using Llm llm = Llm.Load(folder, backend, Most, headNeeded: false);

            // The first pass reads weights and compiles code. Of a large model a few tokens say enough, and more would take minutes.
            Seconds(llm, Few, block, backend);
            stop.ThrowIfCancellationRequested();
            double spent = Seconds(llm, Few, block, backend) / Few, tokens = 0, seconds = 0;
            while (spent * Few < LeastSeconds && seconds < LeastSeconds)
            {
                stop.ThrowIfCancellationRequested();
                seconds += Seconds(llm, Most, block, backend);
                tokens += Most;
            }

            secondsPerToken += tokens > 0 ? seconds / tokens : spent;
        }

        return 1 / secondsPerToken;
    }

    /// <summary>One pass of at most so many tokens, scaled up to them.</summary>
    static double Seconds(Llm llm, int tokens, int block, IBackend backend)
    {
        int length = Math.Min(SequenceLength, llm.Config.ContextLimit);
        TokenBatch batch = new(tokens, tokens / length);
        for (int s = 0; s < tokens / length; s++)
        {
            batch.Add([.. Enumerable.Range(0, length).Select(t => (s * 7919 + t * 104729) % llm.Config.Vocabulary)]);
        }

        Matrix resid_TD = backend.Matrix(batch.Tokens, llm.Config.Width);
        using IBuffer owner = resid_TD.Buffer;
        Stopwatch clock = Stopwatch.StartNew();
        llm.RunTo(batch, block, resid_TD);
        return clock.Elapsed.TotalSeconds * tokens / batch.Tokens;
    }
}
