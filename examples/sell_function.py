"""A function becomes a paid service that asks its buyer a question.

Try it at once:        python examples/sell_function.py
Serve it on a network: masumi-tools serve examples/sell_function.py
"""

from typing import Any

from masumi_tools import Buyer, Settings
from masumi_tools.sandbox import Sandbox
from masumi_tools.seller import ask_human, sell


def slogan(product: str, words: int = 5) -> str:
    """Writes a slogan for a product, and asks for its tone first."""
    tone = ask_human("Which tone shall it have?")["answer"]
    return " ".join(f"{tone.title()}, honest and always there: {product}.".split()[:words])


service = sell(slogan, name="Slogans", price="1.5 ADA", tags=["writing"], author="You")


def main() -> None:
    with Sandbox() as sandbox:
        settings = Settings.from_sandbox(sandbox)
        with service.trial(settings) as agent, Buyer(settings) as buyer:
            quote = buyer.quote(agent)
            print(f"{agent[:12]}... asks {quote.price_text} for", *(field.id for field in quote.spec.asked))

            receipt = buyer.hire(agent, {"product": "soap", "words": 6}, max_price="2 ADA")
            question: Any = receipt.question
            print(receipt, question["input_data"][0]["name"])

            receipt = buyer.answer(receipt.hire_id, {"answer": "calm"})
            print(receipt)


if __name__ == "__main__":
    main()
