"""A LangChain chain becomes a paid service.

Try it at once:        python examples/sell_runnable.py
Serve it on a network: masumi-tools serve examples/sell_runnable.py
"""

from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from scripted import chat_model

from masumi_tools import Buyer, Settings
from masumi_tools.sandbox import Sandbox
from masumi_tools.seller import sell

# A real model: init_chat_model("openai:gpt-5-mini") of langchain.chat_models
model = chat_model("Chère cliente, merci pour votre message.")
prompt = ChatPromptTemplate.from_template("Translate to {language}, politely: {text}")
service = sell(
    prompt | model | StrOutputParser(),
    name="Polite translator",
    description="Translates short letters.",
    price="1 ADA",
    tags=["translation"],
    author="You",
)


def main() -> None:
    with Sandbox() as sandbox:
        settings = Settings.from_sandbox(sandbox)
        with service.trial(settings) as agent, Buyer(settings) as buyer:
            letter = {"language": "French", "text": "Thanks for writing."}
            receipt = buyer.hire(agent, letter, max_price="1 ADA")
            print(receipt)


if __name__ == "__main__":
    main()
