using System.CommandLine;
using Diffract.Scaling;

namespace Diffract.Cli.Commands;

/// <summary><c>diffract verify</c>: whether betas explain activations that they were not fitted on.</summary>
static class VerifyCommand
{
    public static Command Create()
    {
        Command command = new("verify", """
            Verifies Latent Scaling on held-out activations: the mean squared error of each target before and after the latent's direction times its code times beta is taken away.

            Loose files: diffract verify --crosscoder DIR --activations X.safetensors --betas Y.safetensors --out Z.json
              Y as `scale` writes it (<target>.beta; latent_indices and latent_vectors where they are there), X other tokens than those it was fitted on. Z: for each target, by latent,
              mse_before, mse_after and their variances over all tokens, and buckets: count, mse_before and mse_after of the tokens on which the latent is active, by its code over
              its maximum. A squared error is the squared length of y - beta f v.
            """);
        DictionaryOptions dictionary = new(command);
        Option<string> betas = new("--betas") { Description = "safetensors of `scale`.", Required = true };
        Option<int> buckets = new("--buckets") { Description = "Equal parts of a latent's maximum.", DefaultValueFactory = _ => 3 };
        Option<double> noise = new("--noise") { Description = "Share of the maximum below which codes have a bucket of their own; 0: none. The published runs take 0.05 where they do.", DefaultValueFactory = _ => 0 };
        Option<string?> maxima = new("--maxima") { Description = "safetensors with max_activation [L], unscaled. Default: the maxima over the activations." };
        Option<string> output = new("--out") { Description = "JSON file to write.", Required = true };
        foreach (Option option in (Option[])[betas, buckets, noise, maxima, output])
        {
            command.Options.Add(option);
        }

        new CommonOptions().Run(command, (parse, backend, progress, stop) => LooseVerification.Run(
            backend,
            progress,
            new LooseVerificationSettings
            {
                Dictionary = dictionary.Of(parse, progress, stop),
                Betas = parse.GetValue(betas)!,
                Out = parse.GetValue(output)!,
                Buckets = parse.GetValue(buckets),
                Noise = parse.GetValue(noise),
                Maxima = parse.GetValue(maxima),
            },
            stop));
        return command;
    }
}
