using System.Diagnostics;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Llms;

namespace Diffract.Pipeline;

/// <summary>How fast this machine runs a pair of models, measured before there are tokens: what turns hours into tokens.</summary>
static class HarvestRate
{
    const int Tokens = 2048;
    const int SequenceLength = 128;
    const double LeastSeconds = 0.5;

    /// <summary>Tokens a second through both models up to and with block <paramref name="layer"/>.</summary>
    public static double Measure(string baseModel, string chatModel, int layer, IBackend backend, CancellationToken stop)
    {
        double secondsPerToken = 0;
        foreach (string folder in (ReadOnlySpan<string>)[baseModel, chatModel])
        {
            using Llm llm = Llm.Load(folder, backend, Tokens, headNeeded: false);
            int length = Math.Min(SequenceLength, llm.Config.ContextLimit);
            TokenBatch batch = new(Tokens, Tokens / length);
            for (int s = 0; s < Tokens / length; s++)
            {
                batch.Add([.. Enumerable.Range(0, length).Select(t => (s * 7919 + t * 104729) % llm.Config.Vocabulary)]);
            }

            Matrix resid_TD = backend.Matrix(batch.Tokens, llm.Config.Width);
            using IBuffer owner = resid_TD.Buffer;
            // The first pass packs weights and compiles code.
            llm.RunTo(batch, layer, resid_TD);
            long passes = 0;
            Stopwatch clock = Stopwatch.StartNew();
            do
            {
                stop.ThrowIfCancellationRequested();
                llm.RunTo(batch, layer, resid_TD);
                passes++;
            }
            while (clock.Elapsed.TotalSeconds < LeastSeconds);
            secondsPerToken += clock.Elapsed.TotalSeconds / (passes * batch.Tokens);
        }

        return 1 / secondsPerToken;
    }
}
