using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Crosscoders;
using Diffract.Llms;
using Diffract.Runs;

namespace Diffract.Evidence;

/// <summary>Both models' activations on loose chats, which an input scale is estimated on.</summary>
static class ChatActivations
{
    /// <summary>Most tokens that are looked at.</summary>
    const int MostTokens = 16_384;

    /// <summary>The first chats, up to so many tokens.</summary>
    /// <param name="backend">Where everything runs.</param>
    /// <param name="baseModel">Model 0.</param>
    /// <param name="chatModel">Model 1.</param>
    /// <param name="layer">0-based block whose output is taken.</param>
    /// <param name="chats">None is longer than <paramref name="maxTokens"/>.</param>
    /// <param name="maxTokens">Most tokens that the models were loaded for.</param>
    /// <param name="together">False: give a model's weights back before the other runs.</param>
    /// <param name="stop">Set by Ctrl-C.</param>
    public static LooseActivations Of(
        IBackend backend, Llm baseModel, Llm chatModel, LayerPair layer, IReadOnlyList<EditChat> chats, int maxTokens, bool together, CancellationToken stop)
    {
        int[] offsets = [0, baseModel.Config.Width, baseModel.Config.Width + chatModel.Config.Width];
        EditChat[] taken = [.. Take(chats)];
        float[] x_NE = new float[taken.Sum(c => c.Ids.Length - c.SkipFirst) * offsets[2]];
        for (int m = 0; m < 2; m++)
        {
            Llm model = m == 0 ? baseModel : chatModel;
            Fill(backend, model, layer[m], taken, maxTokens, x_NE, offsets[m], offsets[2], stop);
            if (!together)
            {
                model.Release();
            }
        }

        return new LooseActivations(x_NE, offsets);
    }

    static IEnumerable<EditChat> Take(IReadOnlyList<EditChat> chats)
    {
        int tokens = 0;
        foreach (EditChat chat in chats.Where(c => c.Ids.Length > c.SkipFirst))
        {
            int before = tokens;
            tokens += chat.Ids.Length - chat.SkipFirst;
            if (before > 0 && tokens > MostTokens)
            {
                yield break;
            }

            yield return chat;
        }
    }

    static void Fill(IBackend backend, Llm model, int layer, EditChat[] chats, int maxTokens, float[] x_NE, int column, int e, CancellationToken stop)
    {
        Matrix resid_TD = backend.Matrix(maxTokens, model.Config.Width);
        using IBuffer owner = resid_TD.Buffer;
        TokenBatch batch = new(maxTokens, 1);
        int row = 0;
        foreach (EditChat chat in chats)
        {
            stop.ThrowIfCancellationRequested();
            batch.Clear();
            batch.Add(chat.Ids);
            Matrix rows_TD = resid_TD.SliceRows(0, chat.Ids.Length);
            model.RunTo(batch, layer, rows_TD);
            for (int t = chat.SkipFirst; t < chat.Ids.Length; t++, row++)
            {
                rows_TD.Row(t).CopyTo(x_NE.AsSpan((row * e) + column));
            }
        }
    }
}
