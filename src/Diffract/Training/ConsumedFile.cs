using System.Globalization;
using System.Text.Json.Nodes;
using Diffract.Activations;
using Diffract.Runs;
using Diffract.Tokens;

namespace Diffract.Training;

/// <summary>
/// <c>consumed.json</c>: what a streamed training read, since no store is left to look it up in: seed and windows of the order, and for each window of each pass its documents, by first and last number, and how many of
/// its tokens were trained on. Together with the run's tokens and checkpoints it says which activations those were, to the token.
/// </summary>
static class ConsumedFile
{
    public const string Name = "consumed.json";

    public static FileSeal Save(string folder, LiveActivations stream, LayerPair layer, TrainingConfig config, int orderSeed)
    {
        ShuffledOrder order = stream.Order;
        long presented = config.Steps * config.Batch;
        JsonArray windows = [];
        for (long at = 0; at < presented;)
        {
            (long pass, long window, _) = order.Locate(at);
            (int first, int end, int before) = order.DocumentsOf(window);
            long tokens = Math.Min(order.TokensOf(window), presented - at);
            TokenDocument from = order.Documents[first], to = order.Documents[end - 1];
            windows.Add((JsonNode)new JsonObject
            {
                ["pass"] = pass,
                ["window"] = window,
                ["firstDocument"] = from.Number,
                ["firstId"] = from.Id,
                ["skipped"] = before,
                ["lastDocument"] = to.Number,
                ["lastId"] = to.Id,
                ["documents"] = end - first,
                ["tokens"] = order.TokensOf(window),
                ["trainedOn"] = tokens,
            });
            at += tokens;
        }

        JsonObject consumed = new()
        {
            ["layer"] = layer,
            ["orderSeed"] = orderSeed,
            ["window"] = order.Window,
            ["distinctTokens"] = order.DistinctTokens,
            ["distinctTokensSeen"] = Math.Min(presented, order.DistinctTokens),
            ["presentedTokens"] = presented,
            ["passes"] = (double)presented / order.DistinctTokens,
            ["windows"] = windows,
        };
        return AtomicFile.WriteText(Path.Combine(folder, Name), consumed.ToJsonString(Provenance.Json));
    }

    /// <summary>Distinct tokens and passes, in words.</summary>
    public static string Seen(ShuffledOrder order, TrainingConfig config)
    {
        long presented = config.Steps * config.Batch;
        return string.Create(
            CultureInfo.InvariantCulture,
            $"{Math.Min(presented, order.DistinctTokens):N0} distinct tokens seen of {order.DistinctTokens:N0} training tokens, {presented:N0} presented ({(double)presented / order.DistinctTokens:F1} passes)");
    }
}
